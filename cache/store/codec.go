package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/wherry/wherry/cache/field"
)

// The head of a stored response is all of it but its key and its body, as bytes that a later process can read:
//
//	version   1 byte, 2
//	flags     1 byte: 1 the origin gave the lifetime, 2 the site did, 4 and to an error, 8 Vary has *, 16 stored in parts, 32 which
//	          can be joined
//	status    number
//	received  number: when the response was there, in nanoseconds since 1970 on the wall clock
//	seq, boot, tick
//	          three numbers: the Generation that it was asked for in
//	age       number: corrected_initial_age (RFC 9111 §4.2.3) in nanoseconds
//	lifetime  number: freshness_lifetime in nanoseconds
//	basis     string: what the lifetime is from
//	start     number: of a fragment, where in the whole its content begins
//	parts     if stored in parts, three numbers: id, size, grain
//	varies    number of fields, and for each: name, value, and value as sent, as strings; names in order
//	header    number of fields, and for each: name, number of lines, and the lines, as strings; names in order
//	trailer   likewise
//
// A number is an unsigned varint (encoding/binary), a string its number of bytes and the bytes. The lifetime is kept because what the site's configuration made of it can't be worked out again; the
// directives are read from the header again. Who changes what is here, or how values are normalized for Vary, takes another version:
// then what is on disk isn't used any more.
const (
	headVersion = 2

	headExplicit = 1 << 0
	headAssigned = 1 << 1
	headNegative = 1 << 2
	headStar     = 1 << 3
	headParts    = 1 << 4
	headJoinable = 1 << 5
	headFlags    = 1<<6 - 1
)

// clockSlack is how far ahead of the clock a response may have been received. When it is more, the clock was set back, and nobody
// knows how old the response is.
const clockSlack = time.Minute

// lifetimeMax is the longest lifetime: what the site gives counts from the arrival, on top of the age by then.
const lifetimeMax = uint64(2 * field.MaxDelta)

var errHead = errors.New("not the head of a stored response")

// Append appends the head of r to dst: everything but its key and its body.
func (r *Response) Append(dst []byte) []byte {
	flags := flag(r.Fresh.Explicit, headExplicit) | flag(r.Fresh.Assigned, headAssigned) | flag(r.Fresh.Negative, headNegative) |
		flag(r.Varies.Star, headStar)
	if r.Parts != nil {
		flags |= headParts | flag(r.Parts.Joinable, headJoinable)
	}
	dst = append(dst, headVersion, flags)
	dst = binary.AppendUvarint(dst, uint64(r.Status))
	dst = binary.AppendUvarint(dst, uint64(max(0, r.Fresh.at.UnixNano())))
	dst = binary.AppendUvarint(dst, r.Born.Seq)
	dst = binary.AppendUvarint(dst, r.Born.Boot)
	dst = binary.AppendUvarint(dst, r.Born.Tick)
	dst = binary.AppendUvarint(dst, uint64(r.Fresh.initialAge))
	dst = binary.AppendUvarint(dst, uint64(r.Fresh.lifetime))
	dst = appendString(dst, r.Fresh.Basis)
	dst = binary.AppendUvarint(dst, uint64(r.Start))
	if p := r.Parts; p != nil {
		dst = binary.AppendUvarint(dst, p.ID)
		dst = binary.AppendUvarint(dst, uint64(p.Size))
		dst = binary.AppendUvarint(dst, uint64(p.Grain))
	}
	dst = binary.AppendUvarint(dst, uint64(len(r.Varies.names)))
	for i, name := range r.Varies.names {
		dst = appendString(appendString(appendString(dst, name), r.Varies.values[i]), r.Varies.sent[i])
	}
	return appendFields(appendFields(dst, r.Header), r.Trailer)
}

func flag(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendFields(dst []byte, h http.Header) []byte {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	dst = binary.AppendUvarint(dst, uint64(len(names)))
	for _, name := range names {
		dst = binary.AppendUvarint(appendString(dst, name), uint64(len(h[name])))
		for _, line := range h[name] {
			dst = appendString(dst, line)
		}
	}
	return dst
}

// ParseResponse returns the response under key whose head Append has made, at the time now, without a body; give it one with With.
// It keeps nothing of p.
func ParseResponse(key Key, p []byte, now time.Time) (*Response, error) {
	if len(p) < 2 || p[0] != headVersion || p[1]&^headFlags != 0 {
		return nil, errHead
	}
	in := headReader{rest: string(p[2:])} // one copy, of which all strings are parts
	r := &Response{Key: key, Status: int(in.number(999))}
	received := time.Unix(0, int64(in.number(1<<63-1)))
	r.Born = Generation{Seq: in.number(1<<64 - 1), Boot: in.number(1<<64 - 1), Tick: in.number(1<<64 - 1)}
	r.Checks = new(Checks)
	r.Fresh = Freshness{
		at:         received,
		initialAge: time.Duration(in.number(uint64(field.MaxDelta))),
		lifetime:   time.Duration(in.number(lifetimeMax)),
		Basis:      in.string(),
		Explicit:   p[1]&headExplicit != 0,
		Assigned:   p[1]&headAssigned != 0,
		Negative:   p[1]&headNegative != 0,
	}
	r.Start = int64(in.number(1<<63 - 1))
	if p[1]&headParts != 0 {
		r.Parts = in.parts()
		r.Parts.Joinable = p[1]&headJoinable != 0
	} else if p[1]&headJoinable != 0 {
		return nil, errHead
	}
	r.Varies.Star = p[1]&headStar != 0
	in.varies(&r.Varies)
	r.Header = in.fields()
	if r.Trailer = in.fields(); len(r.Trailer) == 0 {
		r.Trailer = nil
	}
	if in.bad || in.rest != "" || r.Status < 200 {
		return nil, errHead
	}
	if r.Fresh.at.Sub(now) > clockSlack {
		r.Fresh.at, r.Fresh.initialAge = now, field.MaxDelta // stale as can be: nobody uses it without asking
		r.Fresh.lifetime, r.Fresh.Basis = 0, "a clock that was set back"
	}
	r.Fresh.Why = "fresh by " + r.Fresh.Basis
	r.Directives, r.DirectivesFrom, _ = field.ResponseDirectives(r.Header)
	r.takeTags()
	return r, nil
}

// headReader takes values from the front of rest. Once something was wrong it is bad, and all further values are zero.
type headReader struct {
	rest string
	bad  bool
}

func (in *headReader) fail() {
	in.rest, in.bad = "", true
}

// number takes a number of at most limit.
func (in *headReader) number(limit uint64) uint64 {
	var n uint64
	for i := 0; i < len(in.rest) && i < binary.MaxVarintLen64; i++ {
		c := in.rest[i]
		if i == binary.MaxVarintLen64-1 && c > 1 {
			break
		}
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if in.rest = in.rest[i+1:]; n > limit {
				break
			}
			return n
		}
	}
	in.fail()
	return 0
}

// count takes the number of things of which each has at least size bytes, so that no memory is taken for things that aren't there.
func (in *headReader) count(size int) int {
	return int(in.number(uint64(len(in.rest) / size)))
}

func (in *headReader) string() string {
	n := in.number(uint64(len(in.rest)))
	if n > uint64(len(in.rest)) { // the number itself took some
		in.fail()
		return ""
	}
	s := in.rest[:n]
	in.rest = in.rest[n:]
	return s
}

// name takes the name of a field, which must be in the one form that the maps of net/http have it in.
func (in *headReader) name() string {
	s := in.string()
	if !field.IsToken(s) || http.CanonicalHeaderKey(s) != s {
		in.fail()
	}
	return s
}

func (in *headReader) parts() *Parts {
	p := &Parts{ID: in.number(1<<64 - 1), Size: int64(in.number(1<<63 - 1)), Grain: int64(in.number(grainMax))}
	if p.Grain < GrainMin {
		in.fail()
	}
	return p
}

func (in *headReader) varies(v *Varies) {
	n := in.count(3)
	v.values, v.sent = make([]string, n), make([]string, n)
	for i := range n {
		v.names = append(v.names, in.string())
		v.values[i], v.sent[i] = in.string(), in.string()
	}
}

func (in *headReader) fields() http.Header {
	n := in.count(2)
	h := make(http.Header, min(n, 64))
	for range n {
		name := in.name()
		lines := make([]string, in.count(1))
		for i := range lines {
			if lines[i] = in.string(); strings.ContainsAny(lines[i], "\r\n\x00") { // RFC 9110 §5.5: would split the message
				in.fail()
			}
		}
		if _, twice := h[name]; twice || in.bad {
			in.fail()
			break
		}
		h[name] = lines
	}
	return h
}

// With returns r with another body, which must have the same content.
func (r *Response) With(body Body) *Response {
	p := *r
	p.Body, p.Block = body, Block{}
	return p.Prepared()
}

// variantBytesMax is how long what Variant returns may be.
const variantBytesMax = 128

// Variant tells the responses under one key apart: of two with the same, the one received later replaces the other (RFC 9111 §4.1).
func (r *Response) Variant() string {
	if len(r.Varies.names) == 0 {
		return ""
	}
	var b []byte
	for i, name := range r.Varies.names {
		b = appendString(appendString(b, name), r.Varies.values[i])
	}
	if len(b) > variantBytesMax {
		sum := sha256.Sum256(b)
		b = sum[:]
	}
	return string(b)
}

// Received returns when the response, or the 304 that renewed it, was there.
func (r *Response) Received() time.Time { return r.Fresh.at }

// WorthKeeping says whether the response can be of use at that time and later, to a process that has only its head and its body.
func (r *Response) WorthKeeping(at time.Time) bool {
	if r.Fresh.Left(at) <= 0 && !r.HasValidator() {
		return false
	}
	if r.Header == nil {
		return true // a fragment, of which nobody asks for directives
	}
	// no-cache="Cache-Control" has taken the directives off the header, in which a later process will look for them. The fields that they
	// name are off it, too, and don't matter any more.
	then, _, _ := field.ResponseDirectives(r.Header)
	if groups, _ := field.Groups(r.Header); len(groups) != len(r.Groups) {
		return false // no-cache="Cache-Groups" has taken them off likewise
	}
	if tags, _ := field.Tags(r.Header); len(tags) != len(r.Tags) {
		return false
	}
	now := r.Directives
	then.NoCacheFields, then.PrivateFields, now.NoCacheFields, now.PrivateFields = nil, nil, nil, nil
	return reflect.DeepEqual(then, now)
}
