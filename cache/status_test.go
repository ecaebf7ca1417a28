package cache

import (
	"reflect"
	"testing"
	"time"

	"github.com/wherry/wherry/cache/field"

	"github.com/dunglas/httpsfv"
)

// parseStatus reads a Cache-Status member as another implementation does.
func parseStatus(t *testing.T, member string) (name any, params map[string]any) {
	t.Helper()
	list, err := httpsfv.UnmarshalList([]string{member})
	if err != nil || len(list) != 1 {
		t.Fatalf("%q: %d members, %v", member, len(list), err)
	}
	item, ok := list[0].(httpsfv.Item)
	if !ok {
		t.Fatalf("%q isn't an item", member)
	}
	params = map[string]any{}
	for _, p := range item.Params.Names() {
		params[p], _ = item.Params.Get(p)
	}
	return item.Value, params
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		name   string
		status status
		node   string
		value  any
		params map[string]any
	}{
		{
			"RFC 9211 §2.1",
			status{hit: true, ttl: 30 * time.Second, hasTTL: true},
			"lisbon-1", httpsfv.Token("lisbon-1"),
			map[string]any{"hit": true, "ttl": int64(30)},
		},
		{
			"RFC 9211 §2.4: a negative ttl",
			status{hit: true, ttl: -30 * time.Second, hasTTL: true},
			"lisbon-1", httpsfv.Token("lisbon-1"),
			map[string]any{"hit": true, "ttl": int64(-30)},
		},
		{
			"RFC 9211 §2.4: the largest ttl",
			status{hit: true, ttl: field.MaxDelta, hasTTL: true},
			"l", httpsfv.Token("l"),
			map[string]any{"hit": true, "ttl": int64(1 << 31)},
		},
		{
			"RFC 9211 §2.2, §2.3, §2.5, §2.6",
			status{fwd: "uri-miss", fwdStatus: 200, stored: true, collapsed: true},
			"lisbon-1", httpsfv.Token("lisbon-1"),
			map[string]any{"fwd": httpsfv.Token("uri-miss"), "fwd-status": int64(200), "stored": true, "collapsed": true},
		},
		{
			"RFC 9211 §2.7: key",
			status{hit: true, key: `shop http://a.test/"\é`},
			"lisbon-1", httpsfv.Token("lisbon-1"),
			map[string]any{"hit": true, "key": `shop http://a.test/"\%C3%A9`},
		},
		{
			"RFC 9211 §2.8: detail as a token",
			status{fwd: "stale", detail: "stale-if-error"},
			"lisbon-1", httpsfv.Token("lisbon-1"),
			map[string]any{"fwd": httpsfv.Token("stale"), "detail": httpsfv.Token("stale-if-error")},
		},
		{
			"RFC 9211 §2.8: detail as a string",
			status{fwd: "bypass", detail: "rule \"x\"\n"},
			"lisbon-1", httpsfv.Token("lisbon-1"),
			map[string]any{"fwd": httpsfv.Token("bypass"), "detail": `rule "x"%0A`},
		},
		{"RFC 9211 §2: a name that is no token", status{hit: true}, "1st edge", "1st edge", map[string]any{"hit": true}},
		{"a name with letters of others", status{hit: true}, "são", "s%C3%A3o", map[string]any{"hit": true}},
		{"no name", status{hit: true}, "", "", map[string]any{"hit": true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.status.render(field.TokenOrString(c.node))
			value, params := parseStatus(t, got)
			if !reflect.DeepEqual(value, c.value) || !reflect.DeepEqual(params, c.params) {
				t.Errorf("%s: %#v %#v", got, value, params)
			}
		})
	}
}
