package field

import (
	"net/http"
	"testing"
	"time"
)

func TestParseDate(t *testing.T) {
	now := time.Date(2026, time.May, 9, 12, 0, 0, 0, time.UTC)
	want := time.Date(1994, time.November, 6, 8, 49, 37, 0, time.UTC)
	for _, c := range []struct {
		name, in string
		want     time.Time // zero: not a date
	}{
		{"RFC 9110 §5.6.7: IMF-fixdate", "Sun, 06 Nov 1994 08:49:37 GMT", want},
		{"RFC 9110 §5.6.7: rfc850-date", "Sunday, 06-Nov-94 08:49:37 GMT", want},
		{"RFC 9110 §5.6.7: asctime-date", "Sun Nov  6 08:49:37 1994", want},
		{"asctime-date, day of two digits", "Wed Nov 16 08:49:37 1994", want.AddDate(0, 0, 10)},
		{
			"rfc850-date, 50 years ahead is the future",
			"Saturday, 09-May-76 12:00:00 GMT", time.Date(2076, 5, 9, 12, 0, 0, 0, time.UTC),
		},
		{
			"rfc850-date, more than 50 years ahead is the past",
			"Sunday, 10-May-76 12:00:00 GMT", time.Date(1976, 5, 10, 12, 0, 0, 0, time.UTC),
		},
		{"rfc850-date in this century", "Friday, 01-May-26 00:00:00 GMT", time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)},
		{"a wrong day of the week doesn't matter", "Mon, 06 Nov 1994 08:49:37 GMT", want},
		{"RFC 9111 §4.2: letters in any case", "sUN, 06 nOV 1994 08:49:37 gmt", want},
		{"RFC 9111 §4.2: rfc850-date in any case", "SUNDAY, 06-NOV-94 08:49:37 Gmt", want},
		{"RFC 9111 §4.2: asctime-date in any case", "sun nov  6 08:49:37 1994", want},
		{"RFC 9111 §4.2: a leap second is the time before", "Sat, 31 Dec 2016 23:59:60 GMT", time.Date(2016, 12, 31, 23, 59, 59, 0, time.UTC)},
		{"RFC 9111 §4.2: UTC isn't in the grammar", "Sun, 06 Nov 1994 08:49:37 UTC", time.Time{}},
		{"an hour of one digit", "Sun, 06 Nov 1994 8:49:37 GMT", time.Time{}},
		{"a day of one digit", "Sun, 6 Nov 1994 08:49:37 GMT", time.Time{}},
		{"a year of two digits", "Sun, 06 Nov 94 08:49:37 GMT", time.Time{}},
		{"several spaces", "Sun, 06  Nov  1994 08:49:37 GMT", time.Time{}},
		{"no comma", "Sun 06 Nov 1994 08:49:37 GMT", time.Time{}},
		{"dashes", "Sun, 06-Nov-1994 08:49:37 GMT", time.Time{}},
		{"full stops in the time", "Sun, 06 Nov 1994 08.49.37 GMT", time.Time{}},
		{"parts of a second", "Sun, 06 Nov 1994 08:49:37.5 GMT", time.Time{}},
		{"no such day of the week", "Foo, 06 Nov 1994 08:49:37 GMT", time.Time{}},
		{"no such long day of the week", "Sun, 06-Nov-94 08:49:37 GMT", time.Time{}},
		{"no such month", "Sun, 06 Foo 1994 08:49:37 GMT", time.Time{}},
		{"a name across two", "Sun, 06 anF 1994 08:49:37 GMT", time.Time{}},
		{"the 24th hour", "Sun, 06 Nov 1994 24:00:00 GMT", time.Time{}},
		{"day 0", "Sun, 00 Nov 1994 08:49:37 GMT", time.Time{}},
		{"a space before", " Sun, 06 Nov 1994 08:49:37 GMT", time.Time{}},
		{"rfc850-date, 29 February of a year that has one", "Thursday, 29-Feb-24 00:00:00 GMT", time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)},
		{"rfc850-date, 29 February of a year that has none", "Thursday, 29-Feb-25 00:00:00 GMT", time.Time{}},
		{"another zone", "Sun, 06 Nov 1994 08:49:37 CET", time.Time{}},
		{"an offset", "Sun, 06 Nov 1994 08:49:37 +0000", time.Time{}},
		{"rfc850-date in another zone", "Sunday, 06-Nov-94 08:49:37 EST", time.Time{}},
		{"rfc850-date without zone", "Sunday, 06-Nov-94 08:49:37", time.Time{}},
		{"no zone", "Sun, 06 Nov 1994 08:49:37", time.Time{}},
		{"zero, as Expires has it", "0", time.Time{}},
		{"minus one", "-1", time.Time{}},
		{"empty", "", time.Time{}},
		{"a number", "784111777", time.Time{}},
		{"a day that isn't", "Sun, 31 Feb 1994 08:49:37 GMT", time.Time{}},
		{"two dates", "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", time.Time{}},
		{"the year one", "Mon, 01 Jan 0001 00:00:00 GMT", time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"the year 9999", "Fri, 31 Dec 9999 23:59:59 GMT", time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := ParseDate(c.in, now)
			if ok == (c.name != "the year one" && c.want.IsZero()) || ok && !got.Equal(c.want) {
				t.Errorf("parseDate(%q) = %v, %t; want %v", c.in, got, ok, c.want)
			}
			if ok && got.Location() != time.UTC {
				t.Errorf("parseDate(%q) is in %v", c.in, got.Location())
			}
		})
	}
}

func TestDateField(t *testing.T) {
	now := time.Unix(1e9, 0)
	if _, ok := Date(http.Header{}, "Date", now); ok {
		t.Error("an absent field has a date")
	}
	h := fields("Date", "Sun, 09 Sep 2001 01:46:39 GMT", "Date", "nonsense")
	if got, ok := Date(h, "Date", now); !ok || !got.Equal(time.Unix(1e9-1, 0)) {
		t.Errorf("got %v, %t; of two lines the first counts", got, ok)
	}
}
