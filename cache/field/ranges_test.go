package field

import "testing"

func TestParseRange(t *testing.T) {
	one := func(start, length int64) Range { return Range{start, length} }
	for _, c := range []struct {
		name  string
		value string
		size  int64
		kind  RangeKind
		want  Range
	}{
		{"RFC 9110 §14.1.2: first and last", "bytes=2-4", 10, RangeOne, one(2, 3)},
		{"RFC 9110 §14.1.2: one byte", "bytes=0-0", 10, RangeOne, one(0, 1)},
		{"RFC 9110 §14.1.2: to the end", "bytes=7-", 10, RangeOne, one(7, 3)},
		{"RFC 9110 §14.1.2: all", "bytes=0-", 10, RangeOne, one(0, 10)},
		{"RFC 9110 §14.1.2: beyond the end", "bytes=7-99", 10, RangeOne, one(7, 3)},
		{"RFC 9110 §14.1.2: suffix", "bytes=-3", 10, RangeOne, one(7, 3)},
		{"RFC 9110 §14.1.2: suffix longer than the body", "bytes=-99", 10, RangeOne, one(0, 10)},
		{"RFC 9110 §14.1.2: suffix of nothing", "bytes=-0", 10, RangeUnsatisfiable, Range{}},
		{"RFC 9110 §14.1.2: suffix of an empty body", "bytes=-3", 0, RangeUnsatisfiable, Range{}},
		{"RFC 9110 §14.1.2: starts at the end", "bytes=10-", 10, RangeUnsatisfiable, Range{}},
		{"RFC 9110 §14.1.2: starts beyond it", "bytes=11-20", 10, RangeUnsatisfiable, Range{}},
		{"RFC 9110 §14.1.2: empty body", "bytes=0-0", 0, RangeUnsatisfiable, Range{}},
		{"RFC 9110 §14.1.1: last before first is invalid", "bytes=4-2", 10, RangeWhole, Range{}},
		{"RFC 9110 §14.1.1: last before first, beyond the end", "bytes=20-12", 10, RangeWhole, Range{}},
		{"RFC 9110 §14.1: units in any case", "BYTES=2-4", 10, RangeOne, one(2, 3)},
		{"RFC 9110 §14.2: another unit is ignored", "rows=2-4", 10, RangeWhole, Range{}},
		{"RFC 9110 §14.2: several ranges may be ignored", "bytes=0-1,4-5", 10, RangeWhole, Range{}},
		{"several suffixes", "bytes=-1,-2", 10, RangeWhole, Range{}},
		{"first beyond an int64", "bytes=99999999999999999999-", 10, RangeUnsatisfiable, Range{}},
		{"last beyond an int64", "bytes=2-99999999999999999999", 10, RangeOne, one(2, 8)},
		{"both beyond an int64", "bytes=99999999999999999999-99999999999999999999", 10, RangeUnsatisfiable, Range{}},
		{"suffix beyond an int64", "bytes=-99999999999999999999", 10, RangeOne, one(0, 10)},
		{"no number", "bytes=-", 10, RangeWhole, Range{}},
		{"no unit", "2-4", 10, RangeWhole, Range{}},
		{"no dash", "bytes=2", 10, RangeWhole, Range{}},
		{"letters", "bytes=a-b", 10, RangeWhole, Range{}},
		{"a sign", "bytes=+2-4", 10, RangeWhole, Range{}},
		{"two dashes", "bytes=--4", 10, RangeWhole, Range{}},
		{"empty", "", 10, RangeWhole, Range{}},
	} {
		got, kind := ParseRange(fields("Range", c.value), c.size)
		if kind != c.kind || got != c.want {
			t.Errorf("%s: %q of %d: %+v, kind %d; want %+v, %d", c.name, c.value, c.size, got, kind, c.want, c.kind)
		}
	}
	if _, kind := ParseRange(fields("Range", "bytes=0-0", "Range", "bytes=1-1"), 10); kind != RangeWhole {
		t.Error("two Range lines aren't ignored")
	}
	if _, kind := ParseRange(fields(), 10); kind != RangeWhole {
		t.Error("no Range is one")
	}
}

func TestContentRange(t *testing.T) {
	if got := (Range{2, 3}).ContentRange(10); got != "bytes 2-4/10" {
		t.Errorf("got %q", got)
	}
}
