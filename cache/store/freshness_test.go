package store

import (
	"net/http"
	"testing"
	"time"

	"github.com/wherry/wherry/cache/field"
)

func freshnessOf(h http.Header, status int, delay time.Duration) Freshness {
	d, from, targeted := field.ResponseDirectives(h)
	return newFreshness(h, status, &d, from, targeted, received.Add(-delay), received)
}

func TestLifetime(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name     string
		status   int
		fields   http.Header
		lifetime time.Duration
		basis    string
		explicit bool
	}{
		{
			"RFC 9111 §4.2.1: s-maxage first",
			200, fields("Cache-Control", "max-age=1, s-maxage=2", "Expires", at(3*time.Second)), 2 * time.Second, "s-maxage", true,
		},
		{
			"RFC 9111 §4.2.1: then max-age",
			200, fields("Cache-Control", "max-age=1", "Expires", at(3*time.Second)), time.Second, "max-age", true,
		},
		{
			"RFC 9111 §4.2.1: then Expires",
			200, fields("Date", at(0), "Expires", at(3*time.Second)), 3 * time.Second, "Expires", true,
		},
		{
			"RFC 9111 §4.2.1: Expires counts from Date",
			200, fields("Date", at(-time.Minute), "Expires", at(0)), time.Minute, "Expires", true,
		},
		{
			"RFC 9111 §5.3: Expires without Date counts from the arrival",
			200, fields("Expires", at(3*time.Second)), 3 * time.Second, "Expires", true,
		},
		{
			"RFC 9111 §5.3: Expires with an invalid Date",
			200, fields("Date", "x", "Expires", at(3*time.Second)), 3 * time.Second, "Expires", true,
		},
		{"RFC 9111 §5.3: Expires: 0 is the past", 200, fields("Expires", "0"), 0, "invalid Expires", true},
		{
			"RFC 9111 §5.3: an invalid Expires switches the heuristic off",
			200, fields("Expires", "x", "Last-Modified", at(-10*day)), 0, "invalid Expires", true,
		},
		{"RFC 9111 §5.3: Expires before Date", 200, fields("Date", at(0), "Expires", at(-time.Hour)), 0, "Expires", true},
		{
			"RFC 9111 §4.2.1: max-age=0 beats a late Expires",
			200, fields("Cache-Control", "max-age=0", "Expires", at(day)), 0, "max-age", true,
		},
		{
			"RFC 9111 §4.2.1: an invalid max-age doesn't fall back to Expires",
			200, fields("Cache-Control", "max-age=x", "Expires", at(day)), 0, "invalid max-age", true,
		},
		{
			"RFC 9111 §4.2.1: an invalid s-maxage doesn't fall back to max-age",
			200, fields("Cache-Control", "max-age=9, s-maxage=x"), 0, "invalid s-maxage", true,
		},
		{
			"RFC 9111 §1.2.2: max-age beyond 2^31",
			200, fields("Cache-Control", "max-age=99999999999999999999"), field.MaxDelta, "max-age", true,
		},
		{
			"Expires in the year 9999",
			200, fields("Date", at(0), "Expires", "Fri, 31 Dec 9999 23:59:59 GMT"), field.MaxDelta, "Expires", true,
		},
		{
			"Date in the year 1 and Expires in 9999",
			200, fields("Date", "Mon, 01 Jan 0001 00:00:00 GMT", "Expires", "Fri, 31 Dec 9999 23:59:59 GMT"), field.MaxDelta, "Expires", true,
		},
		{
			"RFC 9213 §2.2: a targeted field switches Expires off",
			200, fields("CDN-Cache-Control", "public", "Expires", at(day)), 0, "no freshness given", false,
		},
		{
			"RFC 9213: targeted",
			200, fields("CDN-Cache-Control", "max-age=5", "Cache-Control", "max-age=1"), 5 * time.Second,
			"Cdn-Cache-Control max-age", true,
		},
		{
			"RFC 9111 §4.2.2: a tenth",
			200, fields("Date", at(0), "Last-Modified", at(-100*time.Minute)), 10 * time.Minute, "heuristic", false,
		},
		{
			"RFC 9111 §4.2.2: from Date, not from the arrival",
			200, fields("Date", at(-50*time.Minute), "Last-Modified", at(-100*time.Minute)), 5 * time.Minute, "heuristic", false,
		},
		{
			"RFC 9111 §4.2.2: never more than a day",
			200, fields("Last-Modified", "Mon, 01 Jan 0001 00:00:00 GMT"), day, "heuristic", false,
		},
		{
			"RFC 9111 §4.2.2: changed after Date",
			200, fields("Date", at(0), "Last-Modified", at(day)), 0, "no freshness given", false,
		},
		{"RFC 9111 §4.2.2: needs Last-Modified", 200, fields("Etag", `"a"`), 0, "no freshness given", false},
		{"RFC 9111 §4.2.2: needs a valid one", 200, fields("Last-Modified", "yesterday"), 0, "no freshness given", false},
		{
			"RFC 9111 §4.2.2: not for each status",
			201, fields("Date", at(0), "Last-Modified", at(-10*time.Hour)), 0, "no freshness given", false,
		},
		{
			"RFC 9111 §4.2.2: unless public",
			201, fields("Date", at(0), "Last-Modified", at(-10*time.Hour), "Cache-Control", "public"), time.Hour, "heuristic", false,
		},
		{"RFC 9110 §15.1: 404 is", 404, fields("Date", at(0), "Last-Modified", at(-10*time.Hour)), time.Hour, "heuristic", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := freshnessOf(c.fields, c.status, 0)
			if f.lifetime != c.lifetime || f.Basis != c.basis || f.Explicit != c.explicit {
				t.Errorf("%v:\n got %v by %s, explicit %t\nwant %v by %s, %t",
					c.fields, f.lifetime, f.Basis, f.Explicit, c.lifetime, c.basis, c.explicit)
			}
		})
	}
}

func TestAge(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields http.Header
		delay  time.Duration // response_delay
		after  time.Duration // resident_time
		age    time.Duration
	}{
		{"RFC 9111 §4.2.3: just arrived", fields("Date", at(0)), 0, 0, 0},
		{"RFC 9111 §4.2.3: resident_time", fields("Date", at(0)), 0, 90 * time.Second, 90 * time.Second},
		{"RFC 9111 §4.2.3: Age", fields("Date", at(0), "Age", "30"), 0, 10 * time.Second, 40 * time.Second},
		{
			"RFC 9111 §4.2.3: response_delay counts beside Age",
			fields("Date", at(0), "Age", "30"), 5 * time.Second, 0, 35 * time.Second,
		},
		{"RFC 9111 §4.2.3: response_delay without Age", fields("Date", at(0)), 5 * time.Second, 0, 5 * time.Second},
		{"RFC 9111 §4.2.3: apparent_age where it is larger", fields("Date", at(-time.Minute), "Age", "30"), 0, 0, time.Minute},
		{"RFC 9111 §4.2.3: Age where it is larger", fields("Date", at(-time.Minute), "Age", "90"), 0, 0, 90 * time.Second},
		{"RFC 9111 §4.2.3: a Date ahead of us is no age", fields("Date", at(time.Hour)), 0, time.Second, time.Second},
		{"RFC 9111 §4.2.3: no Date", fields(), 0, time.Second, time.Second},
		{"RFC 9111 §4.2.3: an invalid Date", fields("Date", "yesterday"), 0, time.Second, time.Second},
		{"RFC 9111 §5.1: of a list the first", fields("Date", at(0), "Age", "30, 60"), 0, 0, 30 * time.Second},
		{"RFC 9111 §5.1: of two lines the first", fields("Date", at(0), "Age", "30", "Age", "60"), 0, 0, 30 * time.Second},
		{"RFC 9111 §5.1: an invalid one is ignored", fields("Date", at(0), "Age", "30s"), 0, 0, 0},
		{"RFC 9111 §5.1: the first is invalid", fields("Date", at(0), "Age", "x, 60"), 0, 0, 0},
		{"RFC 9111 §5.1: a negative one is ignored", fields("Date", at(0), "Age", "-30"), 0, 0, 0},
		{"RFC 9111 §5.1: a fraction is ignored", fields("Date", at(0), "Age", "30.5"), 0, 0, 0},
		{"RFC 9111 §1.2.2: beyond 2^31", fields("Date", at(0), "Age", "99999999999999999999"), 0, 0, field.MaxDelta},
		{"a Date of the year 1", fields("Date", "Mon, 01 Jan 0001 00:00:00 GMT"), 0, 0, field.MaxDelta},
		{
			"a Date of the year 1, an hour later",
			fields("Date", "Mon, 01 Jan 0001 00:00:00 GMT"), 0, time.Hour, field.MaxDelta + time.Hour,
		},
		{"our clock went back", fields("Date", at(0), "Age", "30"), 0, -time.Hour, 30 * time.Second},
		{"our clock went back while we asked", fields("Date", at(0), "Age", "30"), -time.Hour, 0, 30 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := freshnessOf(c.fields, 200, c.delay)
			if got := f.Age(received.Add(c.after)); got != c.age {
				t.Errorf("age %v, want %v", got, c.age)
			}
		})
	}
}

// TestAgeOfFractions is about Date's whole seconds: what arrives in the middle of one has no age for that.
func TestAgeOfFractions(t *testing.T) {
	arrival := received.Add(700 * time.Millisecond)
	d := with(func(d *field.Directives) { d.MaxAge = time.Second })
	f := newFreshness(fields("Date", at(0)), 200, &d, "Cache-Control", false, arrival, arrival)
	if got := f.Age(arrival); got != 0 {
		t.Errorf("age %v, want none", got)
	}
}

// TestNeverFreshByOverflow has the largest and smallest of everything: nothing that is old beyond all measure is fresh.
func TestNeverFreshByOverflow(t *testing.T) {
	later := []time.Duration{0, time.Second, 100 * 365 * 24 * time.Hour, 1<<63 - 1}
	for _, h := range []http.Header{
		fields("Date", "Mon, 01 Jan 0001 00:00:00 GMT", "Cache-Control", "max-age=60"),
		fields("Date", at(0), "Age", "99999999999999999999", "Cache-Control", "max-age=60"),
		fields("Date", "Mon, 01 Jan 0001 00:00:00 GMT", "Age", "99999999999999999999", "Expires", "Tue, 02 Jan 0001 00:00:00 GMT"),
	} {
		for _, d := range later {
			f := freshnessOf(h, 200, 0)
			if left := f.Left(received.Add(d)); left > 0 || left <= -1<<62 {
				t.Errorf("%v after %v: %v left", h, d, left)
			}
		}
	}
}

func TestInvalidDateIsTheTimeOfArrival(t *testing.T) {
	now := time.Unix(1e9, 0)
	if got := field.DateOr(fields("Date", "nonsense"), now); !got.Equal(now) {
		t.Errorf("an invalid Date counts as %v, not as the time of arrival", got)
	}
}
