package field

import (
	"net/http"
	"testing"
	"time"
)

func TestNotModified(t *testing.T) {
	tagged := fields("Etag", `"a"`, "Last-Modified", at(-time.Hour), "Date", at(0))
	for _, c := range []struct {
		name      string
		req, resp http.Header
		want      bool
	}{
		{"no condition", fields(), tagged, false},
		{"RFC 9110 §13.1.2: the same", fields("If-None-Match", `"a"`), tagged, true},
		{"RFC 9110 §13.1.2: another", fields("If-None-Match", `"b"`), tagged, false},
		{"RFC 9110 §13.1.2: one of a list", fields("If-None-Match", `"x", W/"y" , "a"`), tagged, true},
		{"RFC 9110 §13.1.2: on a second line", fields("If-None-Match", `"x"`, "If-None-Match", `"a"`), tagged, true},
		{"RFC 9110 §8.8.3.2: weak comparison", fields("If-None-Match", `W/"a"`), tagged, true},
		{"RFC 9110 §8.8.3.2: the stored one is weak", fields("If-None-Match", `"a"`), fields("Etag", `W/"a"`), true},
		{"RFC 9110 §8.8.3: a comma in a tag", fields("If-None-Match", `"a,b"`), fields("Etag", `"a,b"`), true},
		{"RFC 9110 §8.8.3: a part of a tag", fields("If-None-Match", `"b,a"`), fields("Etag", `a"`), false},
		{"RFC 9110 §8.8.3: case counts", fields("If-None-Match", `"A"`), tagged, false},
		{"RFC 9110 §13.1.2: *", fields("If-None-Match", `*`), tagged, true},
		{"RFC 9110 §13.1.2: * without a tag", fields("If-None-Match", `*`), fields(), true},
		{"RFC 9110 §13.1.2: no tag stored", fields("If-None-Match", `"a"`), fields(), false},
		{"RFC 9110 §13.1.2: an empty field", fields("If-None-Match", ``), fields(), false},
		{"RFC 9110 §13.2.2: If-None-Match counts alone", fields("If-None-Match", `"b"`, "If-Modified-Since", at(0)), tagged, false},
		{"RFC 9110 §13.1.3: changed before", fields("If-Modified-Since", at(0)), tagged, true},
		{"RFC 9110 §13.1.3: changed then", fields("If-Modified-Since", at(-time.Hour)), tagged, true},
		{"RFC 9110 §13.1.3: changed after", fields("If-Modified-Since", at(-time.Hour-time.Second)), tagged, false},
		{"RFC 9110 §13.1.3: in another form", fields("If-Modified-Since", received.Format(time.ANSIC)), tagged, true},
		{"RFC 9110 §13.1.3: not a date", fields("If-Modified-Since", "now"), tagged, false},
		{"RFC 9110 §13.1.3: two dates", fields("If-Modified-Since", at(0), "If-Modified-Since", at(0)), tagged, false},
		{"RFC 9111 §4.3.2: without Last-Modified by Date", fields("If-Modified-Since", at(0)), fields("Date", at(0)), true},
		{
			"RFC 9111 §4.3.2: without Last-Modified, Date is later",
			fields("If-Modified-Since", at(-time.Second)), fields("Date", at(0)), false,
		},
		{"RFC 9111 §4.3.2: without both by the arrival", fields("If-Modified-Since", at(0)), fields(), true},
		{"RFC 9111 §4.3.2: without both, arrived later", fields("If-Modified-Since", at(-time.Second)), fields(), false},
		{"RFC 9111 §4.3.2: If-Match isn't ours", fields("If-Match", `"a"`), tagged, false},
		{"RFC 9111 §4.3.2: nor If-Unmodified-Since", fields("If-Unmodified-Since", at(0)), tagged, false},
	} {
		if got := NotModified(Header(c.req), c.resp, received); got != c.want {
			t.Errorf("%s: %v of %v: %t", c.name, c.req, c.resp, got)
		}
	}
}

func TestIfRange(t *testing.T) {
	tagged := fields("Etag", `"a"`, "Last-Modified", at(-time.Hour), "Date", at(0))
	for _, c := range []struct {
		name      string
		req, resp http.Header
		want      bool
	}{
		{"none", fields(), tagged, true},
		{"RFC 9110 §13.1.5: the same tag", fields("If-Range", `"a"`), tagged, true},
		{"RFC 9110 §13.1.5: another tag", fields("If-Range", `"b"`), tagged, false},
		{"RFC 9110 §13.1.5: no tag stored", fields("If-Range", `"a"`), fields(), false},
		{"RFC 9110 §8.8.3.2: strong comparison", fields("If-Range", `W/"a"`), tagged, false},
		{"RFC 9110 §8.8.3.2: weak on both sides", fields("If-Range", `W/"a"`), fields("Etag", `W/"a"`), false},
		{"RFC 9110 §8.8.3.2: the stored one is weak", fields("If-Range", `"a"`), fields("Etag", `W/"a"`), false},
		{"RFC 9110 §13.1.5: the same date", fields("If-Range", at(-time.Hour)), tagged, true},
		{"RFC 9110 §13.1.5: an earlier date", fields("If-Range", at(-2*time.Hour)), tagged, false},
		{"RFC 9110 §13.1.5: a later date isn't exactly it", fields("If-Range", at(0)), tagged, false},
		{"RFC 9110 §8.8.2.2: a weak date", fields("If-Range", at(0)), fields("Last-Modified", at(0), "Date", at(0)), false},
		{
			"RFC 9110 §8.8.2.2: strong after a second",
			fields("If-Range", at(-time.Second)), fields("Last-Modified", at(-time.Second), "Date", at(0)), true,
		},
		{"nonsense", fields("If-Range", "a"), tagged, false},
		{"an empty field", fields("If-Range", ""), tagged, false},
	} {
		if got := RangeStillValid(c.req, c.resp, received); got != c.want {
			t.Errorf("%s: %v of %v: %t", c.name, c.req, c.resp, got)
		}
	}
}
