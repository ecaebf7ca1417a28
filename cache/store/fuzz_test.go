package store

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/cache/field"
)

func FuzzVary(f *testing.F) {
	f.Add("Accept-Encoding", "gzip, br;q=0.5", "BR; q=0.5 ,gzip")
	f.Add("accept-language, X", "en", "")
	f.Add("*", "a", "a")
	f.Add("X", `"a,b", c`, `"a`)
	f.Add("Accept-Encoding", `z"`, `a"`)
	f.Fuzz(func(t *testing.T, vary, then, now string) {
		if strings.ContainsAny(then+now, "\x00\r\n") {
			return // net/http lets none of them in
		}
		names := newVaries([]string{vary}, nil).names
		a, b := http.Header{}, http.Header{}
		for _, name := range names {
			a[name], b[name] = []string{then}, []string{now}
		}
		v := newVaries([]string{vary}, a)
		if got := v.matches(field.Header(a)); got == v.Star {
			t.Errorf("Vary %q: a request matches its own response: %t", vary, got)
		}
		if v.Star {
			return
		}
		if got, same := v.matches(field.Header(b)), v.Secondary(a) == v.Secondary(b); got != same {
			t.Errorf("Vary %q, %q, %q: matches %t, same secondary key %t", vary, then, now, got, same)
		}
		if len(names) > 0 && v.matches(field.Header{}) {
			t.Errorf("Vary %q: a request without the fields matches one with", vary)
		}
		for _, name := range names {
			once := normalized(name, a)
			if twice := normalized(name, http.Header{name: {once}}); twice != once {
				t.Errorf("%s: %q is normalized to %q, and that to %q", name, then, once, twice)
			}
			if spaced := normalized(name, http.Header{name: {" " + then + "\t"}}); spaced != once {
				t.Errorf("%s: %q is normalized to %q, with white space around it to %q", name, then, once, spaced)
			}
			if !ordered(name) && normalized(name, a) == normalized(name, b) && squeezed(then) != squeezed(now) {
				t.Errorf("%s: %q and %q are taken for the same", name, then, now)
			}
		}
	})
}

// squeezed is s without what may stand or not stand between list members.
func squeezed(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == ',' {
			return -1
		}
		return r
	}, s)
}

func FuzzFreshness(f *testing.F) {
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
		date, ok := field.ParseDate(s, now)
		if !ok {
			if !date.IsZero() {
				t.Errorf("%q is no date, and is %v", s, date)
			}
			return
		}
		if again, ok := field.ParseDate(date.Format(http.TimeFormat), now); !ok || !again.Equal(date) {
			t.Errorf("%q is %v, which is read as %v, %t", s, date, again, ok)
		}
		if strings.Contains(s, "-") && (date.After(now.AddDate(50, 0, 1)) || date.Before(now.AddDate(-50, 0, -1))) {
			t.Errorf("%q is %v, at %v: more than 50 years away", s, date, now) // RFC 9110 §5.6.7
		}
		// The arithmetic of RFC 9111 §4.2 with this date in all places gives ages and lifetimes that make sense.
		h := http.Header{"Date": {s}, "Expires": {s}, "Last-Modified": {s}}
		d := field.NoDirectives()
		for _, d.MaxAge = range []time.Duration{field.Absent, 0, field.MaxDelta} {
			fresh := newFreshness(h, 200, &d, "Cache-Control", false, now, now)
			if age := fresh.Age(now); age < 0 || age > field.MaxDelta || fresh.lifetime < 0 || fresh.lifetime > field.MaxDelta {
				t.Errorf("%q at %v: age %v, lifetime %v", s, now, age, fresh.lifetime)
			}
		}
	})
}
