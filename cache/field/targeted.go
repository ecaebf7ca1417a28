package field

import (
	"net/http"
	"time"

	"github.com/dunglas/httpsfv"
)

// targetList is our target list (RFC 9213 §2): the first of these fields that is there and valid replaces Cache-Control and
// Expires.
var targetList = [...]string{"Wherry-Cache-Control", "Cdn-Cache-Control"}

// ResponseDirectives returns the directives that count for a response and the name of the field that they are from.
func ResponseDirectives(h http.Header) (d Directives, field string, targeted bool) {
	for _, field := range targetList {
		if lines := h[field]; len(lines) > 0 {
			if d, ok := parseTargeted(lines); ok {
				return d, field, true
			}
		}
	}
	return ParseCacheControl(h["Cache-Control"]), "Cache-Control", false
}

// parseTargeted reads a targeted field, which is a Dictionary (RFC 9213 §2.1). A field that is empty, doesn't parse, or gives a
// known directive a value of the wrong type is not ok and counts as absent. Parameters are ignored.
func parseTargeted(lines []string) (d Directives, ok bool) {
	dict, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil || len(dict.Names()) == 0 {
		return d, false
	}
	d = NoDirectives()
	for _, name := range dict.Names() {
		member, _ := dict.Get(name)
		item, isItem := member.(httpsfv.Item)
		if !isItem {
			if knownDirective(name) {
				return d, false
			}
			continue
		}
		if !d.setTyped(name, item.Value) {
			return d, false
		}
	}
	return d, true
}

// setTyped sets a directive from a bare item; false means that its type is not the directive's.
func (d *Directives) setTyped(name string, value any) bool {
	if delta := d.delta(name); delta != nil {
		seconds, ok := value.(int64)
		if !ok {
			return false
		}
		*delta = min(max(time.Duration(0), time.Duration(min(seconds, 1<<31))*time.Second), MaxDelta)
		return true
	}
	if !knownDirective(name) {
		return true
	}
	switch v := value.(type) {
	case bool:
		if v {
			d.set(name, "", false)
		}
		return true
	case string:
		if name == "no-cache" || name == "private" {
			d.set(name, v, true)
			return true
		}
	}
	return false
}

// delta returns the place of the response directive called name if its argument is in seconds.
func (d *Directives) delta(name string) *time.Duration {
	switch name {
	case "max-age":
		return &d.MaxAge
	case "s-maxage":
		return &d.SMaxAge
	case "stale-while-revalidate":
		return &d.StaleWhileRevalidate
	case "stale-if-error":
		return &d.StaleIfError
	}
	return nil
}

func knownDirective(name string) bool {
	switch name {
	case "no-store", "no-cache", "private", "public", "must-revalidate", "proxy-revalidate", "must-understand", "immutable",
		"max-age", "s-maxage", "stale-while-revalidate", "stale-if-error":
		return true
	}
	return false
}
