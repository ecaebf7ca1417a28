package exchange

import (
	"encoding/binary"
	"strings"
	"time"

	"golang.org/x/net/http2/hpack"
)

// What a line begins with; doc.go draws the rest.
const (
	lineField = 0x80
	lineName  = 0x40
	lineDate  = 0x20
	linePlain = 0x10
	lineKeep  = 0x11
)

// confirmation says that n sections with that base were read.
type confirmation struct{ base, n uint64 }

// confirmationsMax bounds those of a request.
const confirmationsMax = 16

// encoder writes sections. The zero value is ready; without a dictionary it writes those that need none.
type encoder struct {
	*dictionary
	lines []byte
	refs  slotSet
	defs  slotSet
	order []int // slots of defs as they were filled
}

// begin starts a section.
func (e *encoder) begin(now time.Time) {
	e.lines, e.refs, e.defs, e.order = e.lines[:0], slotSet{}, slotSet{}, e.order[:0]
	if e.dictionary != nil {
		e.open(now)
	}
}

// end appends the section to dst, and returns its base. confirmed is nil but for requests.
func (e *encoder) end(dst []byte, now time.Time, request bool, confirmed []confirmation) (out []byte, base uint64) {
	if e.dictionary != nil {
		base = e.close(now, e.refs, e.order)
	}
	dst = appendInt(dst, base)
	if request {
		dst = appendInt(dst, uint64(len(confirmed)))
		for _, c := range confirmed {
			dst = appendInt(appendInt(dst, c.base), c.n)
		}
	}
	return append(dst, e.lines...), base
}

// add writes a line.
func (e *encoder) add(name, value string) {
	f := field{name, value}
	if i, ok := staticFields[f]; ok {
		e.lines = appendPrefixed(e.lines, lineField, 6, uint64(i))
		return
	}
	habit := habits[name]
	if habit&dated != 0 {
		if seconds, ok := parseDate(value); ok {
			e.addSeconds(name, seconds)
			return
		}
	}
	if e.dictionary != nil && habit&(fleeting|secret) == 0 {
		if slot, ok := e.find(f); ok {
			e.refer(slot)
			e.lines = appendPrefixed(e.lines, lineField|1<<6, 6, uint64(slot))
			return
		}
		if e.worth(f) {
			e.keepLine(f)
		}
	}
	e.addPlain(f)
}

// addDate writes a line with a date.
func (e *encoder) addDate(name string, t time.Time) { e.addSeconds(name, uint32(t.Unix())) }

func (e *encoder) addSeconds(name string, seconds uint32) {
	e.lines = appendPrefixed(e.lines, lineDate, 4, uint64(staticNames[name]))
	e.lines = binary.BigEndian.AppendUint32(e.lines, seconds)
}

// keepLine has the line that follows kept, if there is room.
func (e *encoder) keepLine(f field) {
	slot, ok := e.room(e.refs, e.defs)
	if !ok {
		return
	}
	e.keep(slot, f)
	e.defs.add(slot)
	e.order = append(e.order, slot)
	e.lines = appendInt(append(e.lines, lineKeep), uint64(slot))
}

func (e *encoder) refer(slot int) {
	e.slots[slot].used = true
	e.refs.add(slot)
}

func (e *encoder) addPlain(f field) {
	if i, ok := staticNames[f.name]; ok {
		e.lines = appendText(appendPrefixed(e.lines, lineName, 5, uint64(i)), f.value)
		return
	}
	if e.dictionary != nil {
		if slot, ok := e.findName(f.name); ok {
			e.refer(slot)
			e.lines = appendText(appendPrefixed(e.lines, lineName|1<<5, 5, uint64(slot)), f.value)
			return
		}
	}
	e.lines = appendText(appendText(append(e.lines, linePlain), strings.ToLower(f.name)), f.value)
}

// decoder reads sections. The zero value is ready; nil reads those that need no dictionary.
type decoder struct {
	slots [SlotsMax]struct {
		field
		number uint64
	}
}

// section is a section that was read. It can be used again for the next.
type section struct {
	base      uint64
	confirmed []confirmation
	fields    []field
	size      int // of the header list (RFC 9113 §6.5.2)
	tooLarge  bool
}

// read reads p, of a request or not. Of a list that is larger than limit, only as much as the dictionary needs is read.
func (d *decoder) read(s *section, p []byte, request bool, limit int) error {
	clear(s.fields)
	*s = section{confirmed: s.confirmed[:0], fields: s.fields[:0]}
	var ok bool
	if s.base, p, ok = cutInt(p); !ok {
		return malformed("a section without base")
	}
	if request {
		if p, ok = s.readConfirmations(p); !ok {
			return malformed("a section with malformed confirmations")
		}
	}
	keptNow := uint64(0)
	for len(p) > 0 {
		slot, keep := uint64(0), p[0] == lineKeep
		if keep {
			if slot, p, ok = cutInt(p[1:]); !ok || slot >= SlotsMax || s.base == 0 || d == nil || len(p) == 0 || p[0]&lineField != 0 {
				return malformed("a line that can't be kept")
			}
		}
		f, rest, err := d.line(p, s.base)
		if err != nil {
			return err
		}
		p = rest
		if keep {
			if len(f.name)+len(f.value) > keptBytesMax {
				return malformed("a line that is too long to be kept")
			}
			keptNow++
			if place := &d.slots[slot]; s.base+keptNow > place.number {
				place.field, place.number = f, s.base+keptNow
			}
		}
		if s.size += f.size(); s.size > limit {
			s.tooLarge = true
		}
		if !s.tooLarge {
			s.fields = append(s.fields, f)
		}
	}
	return nil
}

func (s *section) readConfirmations(p []byte) (rest []byte, ok bool) {
	count, p, ok := cutInt(p)
	if !ok || count > confirmationsMax {
		return nil, false
	}
	for range count {
		var c confirmation
		if c.base, p, ok = cutInt(p); !ok {
			return nil, false
		}
		if c.n, p, ok = cutInt(p); !ok {
			return nil, false
		}
		s.confirmed = append(s.confirmed, c)
	}
	return p, true
}

// line reads a line that isn't lineKeep.
func (d *decoder) line(p []byte, base uint64) (f field, rest []byte, err error) {
	first := p[0]
	switch {
	case first&lineField != 0:
		return d.index(p, 6, base)
	case first&lineName != 0:
		if f, p, err = d.index(p, 5, base); err != nil {
			return f, nil, err
		}
	case first&lineDate != 0:
		if f, p, err = d.index(p, 4, base); err != nil {
			return f, nil, err
		}
		if len(p) < 4 {
			return f, nil, malformed("a date that is cut off")
		}
		f.value = formatDate(binary.BigEndian.Uint32(p))
		return f, p[4:], nil
	case first == linePlain:
		name, rest, ok := cutText(p[1:])
		if !ok || !isMade(name, inName) {
			return f, nil, malformed("a field name that is none")
		}
		f.name, p = canonical(name), rest
	default:
		return f, nil, malformed("a line of unknown kind")
	}
	var ok bool
	if f.value, p, ok = cutText(p); !ok || !validValue(f.value) {
		return f, nil, malformed("a field value that is none")
	}
	return f, p, nil
}

// index reads a reference whose integer has a prefix of that many bits, behind the bit that says to which table.
func (d *decoder) index(p []byte, bits uint, base uint64) (f field, rest []byte, err error) {
	dynamic := p[0]&(1<<bits) != 0
	i, rest, ok := cutPrefixed(p, bits)
	switch {
	case !ok:
		return f, nil, malformed("an index that is cut off")
	case !dynamic && i < uint64(len(static)):
		return static[i], rest, nil
	case !dynamic || i >= SlotsMax || base == 0 || d == nil:
		return f, nil, malformed("an index that is none")
	}
	slot := &d.slots[i]
	if slot.number == 0 || slot.number > base {
		return f, nil, &failure{CodeStale, "a reference to a line that is gone"}
	}
	return slot.field, rest, nil
}

// appendInt writes v as RFC 9000 §16 has it.
func appendInt(b []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(b, byte(v))
	case v < 1<<14:
		return binary.BigEndian.AppendUint16(b, uint16(v)|1<<14)
	case v < 1<<30:
		return binary.BigEndian.AppendUint32(b, uint32(v)|2<<30)
	}
	return binary.BigEndian.AppendUint64(b, v|3<<62)
}

// cutInt reads what appendInt writes.
func cutInt(p []byte) (v uint64, rest []byte, ok bool) {
	if len(p) == 0 {
		return 0, nil, false
	}
	n := 1 << (p[0] >> 6)
	if len(p) < n {
		return 0, nil, false
	}
	v = uint64(p[0] & 0x3f)
	for _, b := range p[1:n] {
		v = v<<8 | uint64(b)
	}
	return v, p[n:], true
}

// appendPrefixed writes v with a prefix of that many bits, behind those of first (RFC 7541 §5.1).
func appendPrefixed(b []byte, first byte, bits uint, v uint64) []byte {
	limit := uint64(1)<<bits - 1
	if v < limit {
		return append(b, first|byte(v))
	}
	b = append(b, first|byte(limit))
	for v -= limit; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

// cutPrefixed reads what appendPrefixed writes, up to 2^28.
func cutPrefixed(p []byte, bits uint) (v uint64, rest []byte, ok bool) {
	limit := uint64(1)<<bits - 1
	if v = uint64(p[0]) & limit; v < limit {
		return v, p[1:], true
	}
	for i, b := range p[1:] {
		if i == 4 {
			break
		}
		v += uint64(b&0x7f) << (7 * i)
		if b&0x80 == 0 {
			return v, p[i+2:], true
		}
	}
	return 0, nil, false
}

// appendText writes a string (RFC 7541 §5.2).
func appendText(b []byte, s string) []byte {
	if n := hpack.HuffmanEncodeLength(s); n < uint64(len(s)) {
		return hpack.AppendHuffmanString(appendPrefixed(b, 0x80, 7, n), s)
	}
	return append(appendPrefixed(b, 0, 7, uint64(len(s))), s...)
}

func cutText(p []byte) (s string, rest []byte, ok bool) {
	if len(p) == 0 {
		return "", nil, false
	}
	coded := p[0]&0x80 != 0
	n, p, ok := cutPrefixed(p, 7)
	if !ok || uint64(len(p)) < n {
		return "", nil, false
	}
	if !coded {
		return string(p[:n]), p[n:], true
	}
	s, err := hpack.HuffmanDecodeToString(p[:n])
	return s, p[n:], err == nil
}
