package cache

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
		{"max-age", d.MaxAge, d.invalidMaxAge},
		{"s-maxage", d.SMaxAge, d.invalidSMaxAge},
		{"stale-while-revalidate", d.StaleWhileRevalidate, false},
		{"stale-if-error", d.StaleIfError, false},
		{"max-stale", d.MaxStale, false},
		{"min-fresh", d.MinFresh, false},
	} {
		switch {
		case delta.invalid:
			members = append(members, delta.name+"=x")
		case delta.value != absent:
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
		if v != absent && (v < 0 || v > maxDelta || v%time.Second != 0) {
			t.Errorf("an argument of %v in %+v", v, d)
		}
	}
	for _, name := range append(d.NoCacheFields, d.PrivateFields...) {
		if !isToken(name) || http.CanonicalHeaderKey(name) != name {
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
			got, field, targeted := responseDirectives(http.Header{"Cdn-Cache-Control": {line}, "Cache-Control": {"max-age=7"}})
			if targeted || field != "Cache-Control" || got.MaxAge != 7*time.Second {
				t.Errorf("%q isn't valid, and isn't ignored: %+v of %s", line, got, field)
			}
			return
		}
		checkDirectives(t, &d)
		if d.invalidMaxAge || d.invalidSMaxAge || d.OnlyIfCached || d.MaxStale != absent || d.MinFresh != absent {
			t.Errorf("%q gives %+v", line, d)
		}
		if again, ok := parseTargeted([]string{line, " "}); ok && !reflect.DeepEqual(again, d) {
			t.Errorf("%q and an empty line: %+v, alone %+v", line, again, d)
		}
	})
}

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
		if got := v.matches(headerFields(a)); got == v.star {
			t.Errorf("Vary %q: a request matches its own response: %t", vary, got)
		}
		if v.star {
			return
		}
		if got, same := v.matches(headerFields(b)), v.secondary(a) == v.secondary(b); got != same {
			t.Errorf("Vary %q, %q, %q: matches %t, same secondary key %t", vary, then, now, got, same)
		}
		if len(names) > 0 && v.matches(headerFields{}) {
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

func FuzzRange(f *testing.F) {
	for _, value := range []string{
		"bytes=0-0", "bytes=-5", "bytes=5-", "bytes=5-2", "bytes=0-1,3-4", "rows=1-2", "bytes=99999999999999999999-",
		"bytes=-0", "BYTES = 1-2", "bytes=--1",
	} {
		f.Add(value, int64(10))
		f.Add(value, int64(0))
		f.Add(value, int64(1<<62))
	}
	f.Fuzz(func(t *testing.T, value string, size int64) {
		if size < 0 {
			return
		}
		r, kind := parseRange(http.Header{"Range": {value}}, size)
		switch kind {
		case rangeOne:
			if r.start < 0 || r.length <= 0 || r.start+r.length > size || r.start+r.length < 0 {
				t.Fatalf("%q of %d: %+v", value, size, r)
			}
			exact := strings.TrimSuffix(strings.Replace(r.contentRange(size), "bytes ", "bytes=", 1), "/"+strconv.FormatInt(size, 10))
			if again, kind := parseRange(http.Header{"Range": {exact}}, size); kind != rangeOne || again != r {
				t.Errorf("%q of %d: %+v, and as %q %+v", value, size, r, exact, again)
			}
		case rangeWhole, rangeUnsatisfiable:
			if r != (byteRange{}) {
				t.Errorf("%q of %d: kind %d with %+v", value, size, kind, r)
			}
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
		date, ok := parseDate(s, now)
		if !ok {
			if !date.IsZero() {
				t.Errorf("%q is no date, and is %v", s, date)
			}
			return
		}
		if again, ok := parseDate(date.Format(http.TimeFormat), now); !ok || !again.Equal(date) {
			t.Errorf("%q is %v, which is read as %v, %t", s, date, again, ok)
		}
		if strings.Contains(s, "-") && (date.After(now.AddDate(50, 0, 1)) || date.Before(now.AddDate(-50, 0, -1))) {
			t.Errorf("%q is %v, at %v: more than 50 years away", s, date, now) // RFC 9110 §5.6.7
		}
		// The arithmetic of RFC 9111 §4.2 with this date in all places gives ages and lifetimes that make sense.
		h := http.Header{"Date": {s}, "Expires": {s}, "Last-Modified": {s}}
		d := noDirectives()
		for _, d.MaxAge = range []time.Duration{absent, 0, maxDelta} {
			fresh := newFreshness(h, 200, &d, "Cache-Control", false, now, now)
			if age := fresh.age(now); age < 0 || age > maxDelta || fresh.lifetime < 0 || fresh.lifetime > maxDelta {
				t.Errorf("%q at %v: age %v, lifetime %v", s, now, age, fresh.lifetime)
			}
		}
	})
}

func FuzzConnection(f *testing.F) {
	for _, value := range []string{
		"", "close", "Keep-Alive, X-A", "cache-control, VARY", " , ,", "x-a;q=1", "\x00",
		"connection", "Wherry-Cache-Control",
	} {
		f.Add(value, "X-A")
	}
	f.Fuzz(func(t *testing.T, value, name string) {
		name = http.CanonicalHeaderKey(name)
		h := http.Header{
			"Cache-Control": {"no-store"}, "Vary": {"*"}, "Content-Length": {"1"}, "Authorization": {"x"},
			name: {"1"}, "Connection": {value},
		}
		kept := http.Header{
			"Cache-Control": h["Cache-Control"], "Vary": h["Vary"], "Content-Length": h["Content-Length"],
			"Authorization": h["Authorization"],
		}
		EndHop(h)
		for k := range kept {
			if h[k] == nil {
				t.Errorf("Connection: %q takes %s away", value, k)
			}
		}
		for _, k := range connectionSpecific {
			if h[k] != nil {
				t.Errorf("%s is left", k)
			}
		}
		nominated := false
		for member := range strings.SplitSeq(value, ",") {
			nominated = nominated || http.CanonicalHeaderKey(strings.Trim(member, " \t")) == name
		}
		if nominated && !endToEnd(name) && h[name] != nil {
			t.Errorf("Connection: %q leaves %q", value, name)
		}
		before := h.Clone()
		if EndHop(h); !reflect.DeepEqual(h, before) {
			t.Errorf("a second time takes more away: %v, %v", h, before)
		}
	})
}
