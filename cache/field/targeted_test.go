package field

import (
	"net/http"
	"reflect"
	"testing"
	"time"
)

func TestResponseDirectives(t *testing.T) {
	maxAge := func(n time.Duration) Directives {
		return with(func(d *Directives) { d.MaxAge = n * time.Second })
	}
	for _, c := range []struct {
		name   string
		fields http.Header
		want   Directives
		from   string
	}{
		{"without a targeted field", fields("Cache-Control", "max-age=1"), maxAge(1), "Cache-Control"},
		{"nothing", fields(), NoDirectives(), "Cache-Control"},
		{
			"RFC 9213 §2.2: the targeted one counts alone", fields("Cache-Control", "no-store", "CDN-Cache-Control", "max-age=2"),
			maxAge(2), "Cdn-Cache-Control",
		},
		{
			"RFC 9213 §2.2: in the order of the target list", fields("CDN-Cache-Control", "max-age=2",
				"Wherry-Cache-Control", "max-age=3"),
			maxAge(3), "Wherry-Cache-Control",
		},
		{
			"RFC 9213 §2.2: a valid one behind an invalid one", fields("CDN-Cache-Control", "max-age=2",
				"Wherry-Cache-Control", "max-age="),
			maxAge(2), "Cdn-Cache-Control",
		},
		{
			"RFC 9213 §2.1: empty counts as absent",
			fields("Cache-Control", "max-age=1", "CDN-Cache-Control", ""), maxAge(1), "Cache-Control",
		},
		{
			"RFC 9213 §2.1: doesn't parse, counts as absent", fields("Cache-Control", "max-age=1", "CDN-Cache-Control", "max-age=2, ="),
			maxAge(1), "Cache-Control",
		},
		{
			"RFC 9213 §2.1: a trailing comma doesn't parse", fields("Cache-Control", "max-age=1", "CDN-Cache-Control", "max-age=2,"),
			maxAge(1), "Cache-Control",
		},
		{
			"RFC 9213 §2.1: max-age is an Integer",
			fields("Cache-Control", "max-age=1", "CDN-Cache-Control", "max-age=2.0"), maxAge(1), "Cache-Control",
		},
		{
			"RFC 9213 §2.1: not a String",
			fields("Cache-Control", "max-age=1", "CDN-Cache-Control", `max-age="2"`), maxAge(1), "Cache-Control",
		},
		{
			"RFC 9213 §2.1: not a Token",
			fields("Cache-Control", "max-age=1", "CDN-Cache-Control", "max-age=a"), maxAge(1), "Cache-Control",
		},
		{
			"RFC 9213 §2.1: not an Inner List",
			fields("Cache-Control", "max-age=1", "CDN-Cache-Control", "max-age=(2)"), maxAge(1), "Cache-Control",
		},
		{
			"RFC 9213 §2.1: no-store is a Boolean",
			fields("Cache-Control", "max-age=1", "CDN-Cache-Control", "no-store=1"), maxAge(1), "Cache-Control",
		},
		{"RFC 9651 §3.2: the last of two", fields("CDN-Cache-Control", "max-age=1, max-age=2"), maxAge(2), "Cdn-Cache-Control"},
		{
			"RFC 9651 §3.2: over two lines", fields("CDN-Cache-Control", "no-store", "CDN-Cache-Control", "max-age=2"),
			with(func(d *Directives) { d.NoStore, d.MaxAge = true, 2*time.Second }), "Cdn-Cache-Control",
		},
		{"RFC 9651 §3.2: false", fields("CDN-Cache-Control", "no-store=?0, max-age=2"), maxAge(2), "Cdn-Cache-Control"},
		{"RFC 9651 §3.1.2: parameters are ignored", fields("CDN-Cache-Control", "max-age=2;a=b"), maxAge(2), "Cdn-Cache-Control"},
		{
			"unknown members are ignored",
			fields("CDN-Cache-Control", `x, y=(1 2), z="a, no-store", max-age=2`), maxAge(2), "Cdn-Cache-Control",
		},
		{
			"RFC 9651 §3.2: keys are in lower case",
			fields("Cache-Control", "max-age=1", "CDN-Cache-Control", "MAX-AGE=2"), maxAge(1), "Cache-Control",
		},
		{"a negative lifetime is none", fields("CDN-Cache-Control", "max-age=-2"), maxAge(0), "Cdn-Cache-Control"},
		{"the largest Integer", fields("CDN-Cache-Control", "max-age=999999999999999"), maxAge(1 << 31), "Cdn-Cache-Control"},
		{
			"larger than an Integer doesn't parse", fields("Cache-Control", "max-age=1", "CDN-Cache-Control",
				"max-age=9999999999999999"),
			maxAge(1), "Cache-Control",
		},
		{
			"RFC 9111 §5.2.2.4: no-cache with fields", fields("CDN-Cache-Control", `no-cache="set-cookie"`),
			with(func(d *Directives) { d.NoCacheFields = []string{"Set-Cookie"} }), "Cdn-Cache-Control",
		},
		{
			"request directives mean nothing here",
			fields("CDN-Cache-Control", "min-fresh=2, only-if-cached"), NoDirectives(), "Cdn-Cache-Control",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, from, targeted := ResponseDirectives(c.fields)
			if !reflect.DeepEqual(got, c.want) || from != c.from || targeted != (c.from != "Cache-Control") {
				t.Errorf("%v:\n got %+v of %s, targeted %t\nwant %+v of %s", c.fields, got, from, targeted, c.want, c.from)
			}
		})
	}
}
