package field

import (
	"math"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

// with returns directives that are all absent but for what set does.
func with(set func(d *Directives)) Directives {
	d := NoDirectives()
	set(&d)
	return d
}

func TestParseCacheControl(t *testing.T) {
	for _, c := range []struct {
		name  string
		lines []string
		want  Directives
	}{
		{"no field", nil, NoDirectives()},
		{"empty field", []string{"", " ", ",, ,"}, NoDirectives()},
		{"RFC 9111 §5.2: names in any case", []string{"No-STORE, Max-Age=5"}, with(func(d *Directives) {
			d.NoStore, d.MaxAge = true, 5*time.Second
		})},
		{
			"RFC 9111 §5.2: unknown directives are ignored",
			[]string{`x, y=1, z="max-age=5, no-store", public`},
			with(func(d *Directives) {
				d.Public = true
			}),
		},
		{"RFC 9111 §5.2: both token and quoted-string", []string{`max-age="5", s-maxage=6`}, with(func(d *Directives) {
			d.MaxAge, d.SMaxAge = 5*time.Second, 6*time.Second
		})},
		{"RFC 9110 §5.6.4: quoted pairs", []string{`max-age="\5"`}, with(func(d *Directives) { d.MaxAge = 5 * time.Second })},
		{"RFC 9110 §5.3: several lines are one list", []string{"max-age=5", "must-revalidate"}, with(func(d *Directives) {
			d.MaxAge, d.MustRevalidate = 5*time.Second, true
		})},
		{"RFC 9111 §4.2.1: the first of two", []string{"max-age=5, max-age=6", "max-age=7"}, with(func(d *Directives) {
			d.MaxAge = 5 * time.Second
		})},
		{"RFC 9111 §4.2.1: an invalid lifetime is none", []string{"max-age=-5, s-maxage=1.5"}, with(func(d *Directives) {
			d.MaxAge, d.SMaxAge, d.InvalidMaxAge, d.InvalidSMaxAge = 0, 0, true, true
		})},
		{"max-age without argument", []string{"max-age"}, with(func(d *Directives) { d.MaxAge, d.InvalidMaxAge = 0, true })},
		{"white space around =", []string{"max-age= 5"}, with(func(d *Directives) { d.MaxAge, d.InvalidMaxAge = 0, true })},
		{"RFC 9111 §1.2.2: larger than 2^31", []string{"max-age=99999999999999999999999"}, with(func(d *Directives) {
			d.MaxAge = (1 << 31) * time.Second
		})},
		{"RFC 9111 §1.2.2: larger, and then no digit", []string{"max-age=99999999999999999999999x"}, with(func(d *Directives) {
			d.MaxAge, d.InvalidMaxAge = 0, true
		})},
		{"RFC 9111 §5.2.2.4: no-cache with fields", []string{`no-cache="set-cookie, X-user"`}, with(func(d *Directives) {
			d.NoCacheFields = []string{"Set-Cookie", "X-User"}
		})},
		{"RFC 9111 §5.2.2.4: no-cache without fields", []string{`no-cache=""`}, with(func(d *Directives) { d.NoCache = true })},
		{"RFC 9111 §5.2.2.7: private with a field", []string{`private=set-cookie`}, with(func(d *Directives) {
			d.PrivateFields = []string{"Set-Cookie"}
		})},
		{
			"RFC 9111 §5.2.2.7: private with what is no field name",
			[]string{`private="a b"`},
			with(func(d *Directives) { d.Private = true }),
		},
		{
			"RFC 9111 §5.2.1.2: max-stale without argument",
			[]string{"max-stale"},
			with(func(d *Directives) { d.MaxStale = MaxDelta }),
		},
		{
			"RFC 9111 §5.2.1.2: max-stale with one",
			[]string{"max-stale=7"},
			with(func(d *Directives) { d.MaxStale = 7 * time.Second }),
		},
		{"RFC 5861", []string{"stale-while-revalidate=1, stale-if-error=2"}, with(func(d *Directives) {
			d.StaleWhileRevalidate, d.StaleIfError = time.Second, 2*time.Second
		})},
		{
			"a comma in a quoted string",
			[]string{`x="a\",no-store", max-age=1`},
			with(func(d *Directives) { d.MaxAge = time.Second }),
		},
		{"a quote without end hides nothing", []string{`max-age=5, x="y, no-store`}, with(func(d *Directives) {
			d.MaxAge, d.NoStore = 5*time.Second, true
		})},
		{"private with a quote without end", []string{`max-age=5, private="a`}, with(func(d *Directives) {
			d.MaxAge, d.Private = 5*time.Second, true
		})},
		{
			"all that have no argument",
			[]string{"no-store,no-cache,private,public,must-revalidate,proxy-revalidate,must-understand,only-if-cached,immutable"},
			with(func(d *Directives) {
				d.NoStore, d.NoCache, d.Private, d.Public, d.MustRevalidate, d.ProxyRevalidate = true, true, true, true, true, true
				d.MustUnderstand, d.OnlyIfCached, d.Immutable = true, true, true
			}),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ParseCacheControl(c.lines); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%q:\n got %+v\nwant %+v", c.lines, got, c.want)
			}
		})
	}
}

func TestParseDelta(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"0": 0, "000": 0, "1": time.Second, "0060": time.Minute, "2147483648": MaxDelta, "2147483649": MaxDelta, "4294967296": MaxDelta,
		"9223372036854775808": MaxDelta,
		"":                    Absent, "-1": Absent, "+1": Absent, "1.0": Absent, "1s": Absent, " 1": Absent, "0x1": Absent,
		"١": Absent,
	} {
		got, ok := ParseDelta(s)
		if ok != (want != Absent) || ok && got != want {
			t.Errorf("parseDelta(%q) = %v, %t; want %v", s, got, ok, want)
		}
	}
	if MaxDelta > math.MaxInt64/4 {
		t.Error("sums of a few maxDelta overflow")
	}
}

func TestRequestDirectives(t *testing.T) {
	for _, c := range []struct {
		name    string
		fields  http.Header
		noCache bool
	}{
		{"nothing", fields(), false},
		{"RFC 9111 §5.4: Pragma", fields("Pragma", "x, No-Cache"), true},
		{"RFC 9111 §5.4: Pragma on a second line", fields("Pragma", "x", "Pragma", "no-cache"), true},
		{"RFC 9111 §5.4: Pragma beside Cache-Control", fields("Pragma", "no-cache", "Cache-Control", "max-age=1"), false},
		{"RFC 9111 §5.2.1.4", fields("Cache-Control", "no-cache"), true},
		{"another Pragma", fields("Pragma", "no-cached"), false},
	} {
		if got := RequestDirectives(c.fields); got.NoCache != c.noCache {
			t.Errorf("%s: no-cache %t, want %t", c.name, got.NoCache, c.noCache)
		}
	}
}

// TestParseCacheControlLinear feeds what makes a splitter that looks for the closing quote again and again quadratic.
func TestParseCacheControlLinear(t *testing.T) {
	line := strings.Repeat(`"\",`, 1<<18)
	began := time.Now()
	ParseCacheControl([]string{line, line + `"`})
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("%d bytes took %s", 2*len(line), took)
	}
}
