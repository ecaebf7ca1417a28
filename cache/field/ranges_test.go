package field

import (
	"slices"
	"strings"
	"testing"
)

func TestParseRange(t *testing.T) {
	parts := func(r ...Range) []Range { return r }
	for _, c := range []struct {
		name  string
		value string
		size  int64
		kind  RangeKind
		want  []Range
	}{
		{"RFC 9110 §14.1.2: first and last", "bytes=2-4", 10, RangeParts, parts(Range{2, 3})},
		{"RFC 9110 §14.1.2: one byte", "bytes=0-0", 10, RangeParts, parts(Range{0, 1})},
		{"RFC 9110 §14.1.2: to the end", "bytes=7-", 10, RangeParts, parts(Range{7, 3})},
		{"RFC 9110 §14.1.2: all", "bytes=0-", 10, RangeParts, parts(Range{0, 10})},
		{"RFC 9110 §14.1.2: beyond the end", "bytes=7-99", 10, RangeParts, parts(Range{7, 3})},
		{"RFC 9110 §14.1.2: suffix", "bytes=-3", 10, RangeParts, parts(Range{7, 3})},
		{"RFC 9110 §14.1.2: suffix longer than the body", "bytes=-99", 10, RangeParts, parts(Range{0, 10})},
		{"RFC 9110 §14.1.2: suffix of nothing", "bytes=-0", 10, RangeUnsatisfiable, nil},
		{"RFC 9110 §14.1.2: suffix of an empty body", "bytes=-3", 0, RangeUnsatisfiable, nil},
		{"RFC 9110 §14.1.2: starts at the end", "bytes=10-", 10, RangeUnsatisfiable, nil},
		{"RFC 9110 §14.1.2: starts beyond it", "bytes=11-20", 10, RangeUnsatisfiable, nil},
		{"RFC 9110 §14.1.2: empty body", "bytes=0-0", 0, RangeUnsatisfiable, nil},
		{"RFC 9110 §14.1.1: last before first is invalid", "bytes=4-2", 10, RangeWhole, nil},
		{"RFC 9110 §14.1.1: last before first, beyond the end", "bytes=20-12", 10, RangeWhole, nil},
		{"RFC 9110 §14.1: units in any case", "BYTES=2-4", 10, RangeParts, parts(Range{2, 3})},
		{"RFC 9110 §14.2: another unit is ignored", "rows=2-4", 10, RangeWhole, nil},
		{"RFC 9110 §14.1.2: several ranges, in the order of the request", "bytes=4-5, 0-1", 10, RangeParts, parts(Range{4, 2}, Range{0, 2})},
		{"RFC 9110 §15.3.7.2: ranges that overlap are joined", "bytes=-1,-2", 10, RangeParts, parts(Range{8, 2})},
		{"first beyond an int64", "bytes=99999999999999999999-", 10, RangeUnsatisfiable, nil},
		{"last beyond an int64", "bytes=2-99999999999999999999", 10, RangeParts, parts(Range{2, 8})},
		{"both beyond an int64", "bytes=99999999999999999999-99999999999999999999", 10, RangeUnsatisfiable, nil},
		{"suffix beyond an int64", "bytes=-99999999999999999999", 10, RangeParts, parts(Range{0, 10})},
		{"no number", "bytes=-", 10, RangeWhole, nil},
		{"no unit", "2-4", 10, RangeWhole, nil},
		{"no dash", "bytes=2", 10, RangeWhole, nil},
		{"letters", "bytes=a-b", 10, RangeWhole, nil},
		{"a sign", "bytes=+2-4", 10, RangeWhole, nil},
		{"two dashes", "bytes=--4", 10, RangeWhole, nil},
		{"empty", "", 10, RangeWhole, nil},
		{"RFC 9110 §15.3.7.2: three that overlap, and one that doesn't", "bytes=5-7,0-1,6-8,7-9", 10, RangeParts, parts(Range{0, 2}, Range{5, 5})},
		{"RFC 9110 §14.1.2: what can't be satisfied is left out", "bytes=20-30,2-4", 10, RangeParts, parts(Range{2, 3})},
		{"RFC 9110 §5.6.1.2: empty members", "bytes=,2-4,,", 10, RangeParts, parts(Range{2, 3})},
		{"nothing but empty members", "bytes=,", 10, RangeWhole, nil},
		{"one that is malformed spoils all", "bytes=0-1,x", 10, RangeWhole, nil},
		{"RFC 9110 §17.15: too many", "bytes=0-0" + strings.Repeat(",0-0", RangesMax), 10, RangeWhole, nil},
		{"as many as may be", "bytes=0-0" + strings.Repeat(",0-0", RangesMax-1), 10, RangeParts, parts(Range{0, 1})},
	} {
		got, kind := Ranges(ParseRange(fields("Range", c.value)), c.size)
		if kind != c.kind || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q of %d: %+v, kind %d; want %+v, %d", c.name, c.value, c.size, got, kind, c.want, c.kind)
		}
	}
	if specs := ParseRange(fields("Range", "bytes=0-0", "Range", "bytes=1-1")); specs != nil {
		t.Error("two Range lines aren't ignored")
	}
	if specs := ParseRange(fields()); specs != nil {
		t.Error("no Range is one")
	}
}

func TestParseContentRange(t *testing.T) {
	for _, c := range []struct {
		value string
		want  Range
		size  int64
		ok    bool
	}{
		{"bytes 2-4/10", Range{2, 3}, 10, true},
		{"Bytes 0-0/1", Range{0, 1}, 1, true},
		{"bytes 2-4/*", Range{2, 3}, -1, true},
		{"bytes 4-2/10", Range{}, 0, false},  // RFC 9110 §14.4
		{"bytes 2-10/10", Range{}, 0, false}, // RFC 9110 §14.4
		{"bytes */10", Range{}, 0, false},
		{"rows 2-4/10", Range{}, 0, false},
		{"bytes 2-4", Range{}, 0, false},
		{"bytes=2-4/10", Range{}, 0, false},
		{"bytes -4/10", Range{}, 0, false},
		{"bytes 2-/10", Range{}, 0, false},
		{"bytes 2-99999999999999999999/*", Range{}, 0, false},
		{"", Range{}, 0, false},
	} {
		got, size, ok := ParseContentRange(fields("Content-Range", c.value))
		if got != c.want || size != c.size || ok != c.ok {
			t.Errorf("%q: %+v of %d, %t; want %+v of %d, %t", c.value, got, size, ok, c.want, c.size, c.ok)
		}
	}
	if _, _, ok := ParseContentRange(fields("Content-Range", "bytes 0-0/2", "Content-Range", "bytes 1-1/2")); ok {
		t.Error("two lines are taken")
	}
}

func TestContentRange(t *testing.T) {
	if got := (Range{2, 3}).ContentRange(10); got != "bytes 2-4/10" {
		t.Errorf("got %q", got)
	}
}
