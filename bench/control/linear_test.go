package main

import "testing"

// The checker finds what it is there to find.
func TestLinearizable(t *testing.T) {
	put := op{kind: "put", key: "k", value: "a", outcome: "ok", call: 1, ret: 2}
	later := op{kind: "put", key: "k", value: "b", outcome: "ok", call: 3, ret: 4}
	for name, c := range map[string]struct {
		ops                []op
		registers, leaders bool
	}{
		"in order":           {[]op{put, later, {kind: "get", key: "k", value: "b", outcome: "ok", call: 5, ret: 6}}, true, true},
		"a stale read":       {[]op{put, later, {kind: "get", key: "k", value: "a", outcome: "ok", call: 5, ret: 6}}, false, true},
		"a lost write":       {[]op{put, {kind: "get", key: "k", outcome: "ok", call: 5, ret: 6}}, false, true},
		"a false cas":        {[]op{put, later, {kind: "cas", key: "k", from: "a", value: "c", outcome: "ok", call: 5, ret: 6}}, false, true},
		"two leaders":        {[]op{{kind: "act", term: 7, outcome: "ok", call: 1, ret: 2}, {kind: "act", term: 5, outcome: "ok", call: 3, ret: 4}}, true, false},
		"leaders at once":    {[]op{{kind: "act", term: 7, outcome: "ok", call: 1, ret: 4}, {kind: "act", term: 5, outcome: "ok", call: 2, ret: 3}}, true, true},
		"nobody knows":       {[]op{put, {kind: "put", key: "k", value: "z", outcome: "unknown", call: 3, ret: forever}, {kind: "get", key: "k", value: "a", outcome: "ok", call: 8, ret: 9}}, true, true},
		"a denied one shows": {[]op{put, {kind: "put", key: "k", value: "z", outcome: "none", call: 3, ret: 4}, {kind: "get", key: "k", value: "z", outcome: "ok", call: 8, ret: 9}}, false, true},
	} {
		if registers, leaders, known := linearizable(c.ops, nil); registers != c.registers || leaders != c.leaders || !known {
			t.Errorf("%s: registers %v, leaders %v, known %v", name, registers, leaders, known)
		}
	}
}
