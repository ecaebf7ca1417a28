package field

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

// render writes directives so that they are read as the same.
func (d *Directives) render() string {
	var members []string
	for _, flag := range []struct {
		name string
		on   bool
	}{
		{"no-store", d.NoStore},
		{"no-cache", d.NoCache},
		{"private", d.Private},
		{"public", d.Public},
		{"must-revalidate", d.MustRevalidate},
		{"proxy-revalidate", d.ProxyRevalidate},
		{"must-understand", d.MustUnderstand},
		{"only-if-cached", d.OnlyIfCached},
		{"immutable", d.Immutable},
	} {
		if flag.on {
			members = append(members, flag.name)
		}
	}
	for _, delta := range []struct {
		name    string
		value   time.Duration
		invalid bool
	}{
		{"max-age", d.MaxAge, d.InvalidMaxAge},
		{"s-maxage", d.SMaxAge, d.InvalidSMaxAge},
		{"stale-while-revalidate", d.StaleWhileRevalidate, false},
		{"stale-if-error", d.StaleIfError, false},
		{"max-stale", d.MaxStale, false},
		{"min-fresh", d.MinFresh, false},
	} {
		switch {
		case delta.invalid:
			members = append(members, delta.name+"=x")
		case delta.value != Absent:
			members = append(members, delta.name+"="+strconv.FormatInt(int64(delta.value/time.Second), 10))
		}
	}
	for name, list := range map[string][]string{"no-cache": d.NoCacheFields, "private": d.PrivateFields} {
		if len(list) > 0 {
			members = append(members, name+`="`+strings.Join(list, ", ")+`"`)
		}
	}
	return strings.Join(members, ", ")
}

// checkDirectives checks what holds for all directives.
func checkDirectives(t *testing.T, d *Directives) {
	t.Helper()
	for _, v := range []time.Duration{d.MaxAge, d.SMaxAge, d.StaleWhileRevalidate, d.StaleIfError, d.MaxStale, d.MinFresh} {
		if v != Absent && (v < 0 || v > MaxDelta || v%time.Second != 0) {
			t.Errorf("an argument of %v in %+v", v, d)
		}
	}
	for _, name := range append(d.NoCacheFields, d.PrivateFields...) {
		if !IsToken(name) || http.CanonicalHeaderKey(name) != name {
			t.Errorf("field name %q", name)
		}
	}
}

func FuzzCacheControl(f *testing.F) {
	for _, line := range []string{
		"", "max-age=60", `no-cache="a, b", private=c, max-age="1"`, "max-age=-1, s-maxage=99999999999999999999",
		`x="a\",no-store", public`,
		`max-age=1, x="y, no-store`, "max-stale, max-stale=5", "stale-while-revalidate=x,stale-if-error=,min-fresh", ",,=,=x,\",\\",
		`private="`, `private="a b"`, "NO-STORE\t,\tMust-Revalidate",
	} {
		f.Add(line, "")
	}
	f.Add("max-age=1", "max-age=2")
	f.Fuzz(func(t *testing.T, a, b string) {
		d := ParseCacheControl([]string{a, b})
		checkDirectives(t, &d)
		if again := ParseCacheControl([]string{d.render()}); !reflect.DeepEqual(again, d) {
			t.Errorf("%q, %q:\n     %+v\nnow  %+v\nfrom %q", a, b, d, again, d.render())
		}
		if !strings.Contains(a, `"`) {
			// Without quotes, each comma begins a new member: what stands there is read wherever it stands.
			stricter := ParseCacheControl([]string{a + ",no-store", b})
			if !stricter.NoStore {
				t.Errorf("%q hides a no-store behind it", a)
			}
		}
		if !terminated(a) && !strings.Contains(a, `\`) {
			if stricter := ParseCacheControl([]string{a + ",no-store"}); !stricter.NoStore {
				t.Errorf("%q hides a no-store behind a quote without end", a)
			}
		}
	})
}

func FuzzTargeted(f *testing.F) {
	for _, line := range []string{
		"", "max-age=60", "max-age=60, no-store", `no-cache="a, b"`, "max-age=1.5", "max-age=-1", "max-age=?1",
		"no-store=?0", "no-store;x=1",
		"max-age=(1 2)", "private=:aGk=:", "max-age=999999999999999", "x=@1, y=%\"f\", max-age=1", "MAX-AGE=1", "max-age=1,",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		d, ok := parseTargeted([]string{line})
		if !ok {
			got, from, targeted := ResponseDirectives(http.Header{"Cdn-Cache-Control": {line}, "Cache-Control": {"max-age=7"}})
			if targeted || from != "Cache-Control" || got.MaxAge != 7*time.Second {
				t.Errorf("%q isn't valid, and isn't ignored: %+v of %s", line, got, from)
			}
			return
		}
		checkDirectives(t, &d)
		if d.InvalidMaxAge || d.InvalidSMaxAge || d.OnlyIfCached || d.MaxStale != Absent || d.MinFresh != Absent {
			t.Errorf("%q gives %+v", line, d)
		}
		if again, ok := parseTargeted([]string{line, " "}); ok && !reflect.DeepEqual(again, d) {
			t.Errorf("%q and an empty line: %+v, alone %+v", line, again, d)
		}
	})
}

func FuzzRange(f *testing.F) {
	for _, value := range []string{
		"bytes=0-0", "bytes=-5", "bytes=5-", "bytes=5-2", "bytes=0-1,3-4", "rows=1-2", "bytes=99999999999999999999-",
		"bytes=-0", "BYTES = 1-2", "bytes=--1", "bytes=0-5,3-9,,1-1,-2",
	} {
		f.Add(value, int64(10))
		f.Add(value, int64(0))
		f.Add(value, int64(1<<62))
	}
	f.Fuzz(func(t *testing.T, value string, size int64) {
		if size < 0 {
			return
		}
		ranges, kind := Ranges(ParseRange(http.Header{"Range": {value}}), size)
		if (kind == RangeParts) != (len(ranges) > 0) || len(ranges) > RangesMax {
			t.Fatalf("%q of %d: kind %d with %+v", value, size, kind, ranges)
		}
		total := int64(0)
		for i, r := range ranges {
			if r.Start < 0 || r.Length <= 0 || r.End() > size || r.End() < 0 {
				t.Fatalf("%q of %d: %+v", value, size, r)
			}
			for _, other := range ranges[:i] {
				if r.Start < other.End() && other.Start < r.End() {
					t.Fatalf("%q of %d: %+v and %+v overlap", value, size, r, other)
				}
			}
			total += r.Length
			got, whole, ok := ParseContentRange(http.Header{"Content-Range": {r.ContentRange(size)}})
			if !ok || got != r || whole != size {
				t.Errorf("%+v of %d is %q, which is read as %+v of %d", r, size, r.ContentRange(size), got, whole)
			}
		}
		if total > size {
			t.Errorf("%q of %d asks for %d bytes", value, size, total)
		}
	})
}

func FuzzContentRange(f *testing.F) {
	for _, value := range []string{"bytes 0-1/2", "bytes 0-1/*", "bytes */2", "bytes 1-0/2", "rows 0-1/2", "bytes 0-99999999999999999999/*", ""} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		r, size, ok := ParseContentRange(http.Header{"Content-Range": {value}})
		if ok && (r.Start < 0 || r.Length <= 0 || r.End() <= 0 || size >= 0 && r.End() > size) {
			t.Errorf("%q: %+v of %d", value, r, size)
		}
	})
}

func FuzzDate(f *testing.F) {
	for _, s := range []string{
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "0", "",
		"Mon, 01 Jan 0001 00:00:00 GMT",
		"Fri, 31 Dec 9999 23:59:59 GMT", "Tuesday, 29-Feb-76 00:00:00 GMT",
	} {
		f.Add(s, int64(1778328000))
		f.Add(s, int64(1709164800)) // a 29 February
	}
	f.Fuzz(func(t *testing.T, s string, unix int64) {
		now := time.Unix(unix%(1<<37), 0).UTC()
		date, ok := ParseDate(s, now)
		if !ok {
			if !date.IsZero() {
				t.Errorf("%q is no date, and is %v", s, date)
			}
			return
		}
		if again, ok := ParseDate(date.Format(http.TimeFormat), now); !ok || !again.Equal(date) {
			t.Errorf("%q is %v, which is read as %v, %t", s, date, again, ok)
		}
		if strings.Contains(s, "-") && (date.After(now.AddDate(50, 0, 1)) || date.Before(now.AddDate(-50, 0, -1))) {
			t.Errorf("%q is %v, at %v: more than 50 years away", s, date, now) // RFC 9110 §5.6.7
		}
	})
}
