package cache

import "testing"

func TestParseRange(t *testing.T) {
	one := func(start, length int64) byteRange { return byteRange{start, length} }
	for _, c := range []struct {
		name  string
		value string
		size  int64
		kind  rangeKind
		want  byteRange
	}{
		{"RFC 9110 §14.1.2: first and last", "bytes=2-4", 10, rangeOne, one(2, 3)},
		{"RFC 9110 §14.1.2: one byte", "bytes=0-0", 10, rangeOne, one(0, 1)},
		{"RFC 9110 §14.1.2: to the end", "bytes=7-", 10, rangeOne, one(7, 3)},
		{"RFC 9110 §14.1.2: all", "bytes=0-", 10, rangeOne, one(0, 10)},
		{"RFC 9110 §14.1.2: beyond the end", "bytes=7-99", 10, rangeOne, one(7, 3)},
		{"RFC 9110 §14.1.2: suffix", "bytes=-3", 10, rangeOne, one(7, 3)},
		{"RFC 9110 §14.1.2: suffix longer than the body", "bytes=-99", 10, rangeOne, one(0, 10)},
		{"RFC 9110 §14.1.2: suffix of nothing", "bytes=-0", 10, rangeUnsatisfiable, byteRange{}},
		{"RFC 9110 §14.1.2: suffix of an empty body", "bytes=-3", 0, rangeUnsatisfiable, byteRange{}},
		{"RFC 9110 §14.1.2: starts at the end", "bytes=10-", 10, rangeUnsatisfiable, byteRange{}},
		{"RFC 9110 §14.1.2: starts beyond it", "bytes=11-20", 10, rangeUnsatisfiable, byteRange{}},
		{"RFC 9110 §14.1.2: empty body", "bytes=0-0", 0, rangeUnsatisfiable, byteRange{}},
		{"RFC 9110 §14.1.1: last before first is invalid", "bytes=4-2", 10, rangeWhole, byteRange{}},
		{"RFC 9110 §14.1.1: last before first, beyond the end", "bytes=20-12", 10, rangeWhole, byteRange{}},
		{"RFC 9110 §14.1: units in any case", "BYTES=2-4", 10, rangeOne, one(2, 3)},
		{"RFC 9110 §14.2: another unit is ignored", "rows=2-4", 10, rangeWhole, byteRange{}},
		{"RFC 9110 §14.2: several ranges may be ignored", "bytes=0-1,4-5", 10, rangeWhole, byteRange{}},
		{"several suffixes", "bytes=-1,-2", 10, rangeWhole, byteRange{}},
		{"first beyond an int64", "bytes=99999999999999999999-", 10, rangeUnsatisfiable, byteRange{}},
		{"last beyond an int64", "bytes=2-99999999999999999999", 10, rangeOne, one(2, 8)},
		{"both beyond an int64", "bytes=99999999999999999999-99999999999999999999", 10, rangeUnsatisfiable, byteRange{}},
		{"suffix beyond an int64", "bytes=-99999999999999999999", 10, rangeOne, one(0, 10)},
		{"no number", "bytes=-", 10, rangeWhole, byteRange{}},
		{"no unit", "2-4", 10, rangeWhole, byteRange{}},
		{"no dash", "bytes=2", 10, rangeWhole, byteRange{}},
		{"letters", "bytes=a-b", 10, rangeWhole, byteRange{}},
		{"a sign", "bytes=+2-4", 10, rangeWhole, byteRange{}},
		{"two dashes", "bytes=--4", 10, rangeWhole, byteRange{}},
		{"empty", "", 10, rangeWhole, byteRange{}},
	} {
		got, kind := parseRange(fields("Range", c.value), c.size)
		if kind != c.kind || got != c.want {
			t.Errorf("%s: %q of %d: %+v, kind %d; want %+v, %d", c.name, c.value, c.size, got, kind, c.want, c.kind)
		}
	}
	if _, kind := parseRange(fields("Range", "bytes=0-0", "Range", "bytes=1-1"), 10); kind != rangeWhole {
		t.Error("two Range lines aren't ignored")
	}
	if _, kind := parseRange(fields(), 10); kind != rangeWhole {
		t.Error("no Range is one")
	}
}

func TestContentRange(t *testing.T) {
	if got := (byteRange{2, 3}).contentRange(10); got != "bytes 2-4/10" {
		t.Errorf("got %q", got)
	}
}
