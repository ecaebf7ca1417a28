package tunnel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Bounds of what is said on a control stream.
const (
	MessageBytesMax = 8 << 10
	OffersMax       = 16
	nameBytesMax    = 253
)

const version = 1

// kind is the first byte of a message; doc.go draws them.
type kind byte

const (
	kindHello    kind = 0x01
	kindWelcome  kind = 0x02
	kindRefused  kind = 0x03
	kindDraining kind = 0x04
	kindLeaving  kind = 0x05
)

// Protocol is what a service speaks.
type Protocol byte

// The protocols.
const (
	HTTP Protocol = 1
	TCP  Protocol = 2
)

// String returns the protocol's name.
func (p Protocol) String() string {
	switch p {
	case HTTP:
		return "http"
	case TCP:
		return "tcp"
	}
	return fmt.Sprintf("protocol %d", byte(p))
}

// hello is what an agent says first.
type hello struct {
	version byte
	token   string
	name    string
	offers  []offered
}

// offered is a site that an agent offers.
type offered struct {
	protocol Protocol
	site     string
}

// cause tells an agent whether it makes sense to ask again.
type cause byte

const (
	causeFull  cause = 1 // another node may take it, or this one later
	causeToken cause = 2 // only another token, or another right of it, helps
	causeHello cause = 3 // only another release or other flags help
)

// refusal is a node's no.
type refusal struct {
	cause cause
	words string
}

func (r *refusal) Error() string { return r.words }

// lasting says whether the same hello is refused again.
func (r *refusal) lasting() bool { return r.cause == causeToken || r.cause == causeHello }

// errMessage is what doesn't look as doc.go draws it.
var errMessage = errors.New("the other side doesn't speak the protocol of tunnels; both need the same release")

func (h *hello) append(b []byte) []byte {
	p := append([]byte(nil), h.version)
	p = appendText(appendText(p, h.token), h.name)
	p = appendInt(p, uint64(len(h.offers)))
	for _, o := range h.offers {
		p = appendText(append(p, byte(o.protocol)), o.site)
	}
	return appendMessage(b, kindHello, p)
}

// parseHello reads the payload of a hello. One of a version that isn't known has only its version.
func parseHello(p []byte) (*hello, error) {
	if len(p) == 0 {
		return nil, errMessage
	}
	h, p := &hello{version: p[0]}, p[1:]
	if h.version != version {
		return h, nil
	}
	var ok bool
	if h.token, p, ok = cutText(p); !ok {
		return nil, errMessage
	}
	if h.name, p, ok = cutText(p); !ok || !validName(h.name) {
		return nil, errMessage
	}
	count, p, ok := cutInt(p)
	if !ok || count > OffersMax {
		return nil, errMessage
	}
	for range count {
		if len(p) == 0 {
			return nil, errMessage
		}
		o := offered{protocol: Protocol(p[0])}
		if o.site, p, ok = cutText(p[1:]); !ok || !validName(o.site) {
			return nil, errMessage
		}
		h.offers = append(h.offers, o)
	}
	return h, nil
}

// validName says whether s may be the name of a site or an agent: it goes into log lines, fields and targets.
func validName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`/:@"\?#[]`, c) >= 0 {
			return false
		}
	}
	return s != "" && len(s) <= nameBytesMax
}

func (r *refusal) append(b []byte) []byte {
	words := r.words
	if len(words) > MessageBytesMax/2 {
		words = strings.ToValidUTF8(words[:MessageBytesMax/2], "")
	}
	return appendMessage(b, kindRefused, appendText([]byte{byte(r.cause)}, words))
}

func parseRefusal(p []byte) (*refusal, error) {
	if len(p) == 0 {
		return nil, errMessage
	}
	words, _, ok := cutText(p[1:])
	if !ok || !utf8.ValidString(words) {
		return nil, errMessage
	}
	return &refusal{cause(p[0]), strings.Map(printable, words)}, nil
}

// printable keeps the words of others from doing something to a terminal.
func printable(r rune) rune {
	if r < ' ' || r >= 0x7f && r < 0xa0 {
		return ' '
	}
	return r
}

func parseWelcome(p []byte) (node string, err error) {
	node, _, ok := cutText(p)
	if !ok || !validName(node) {
		return "", errMessage
	}
	return node, nil
}

func appendMessage(b []byte, k kind, payload []byte) []byte {
	return append(appendInt(append(b, byte(k)), uint64(len(payload))), payload...)
}

// readMessage reads one message. io.EOF means that there are no more.
func readMessage(r io.Reader) (kind, []byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:1]); err != nil {
		return 0, nil, err
	}
	k := kind(head[0])
	if _, err := io.ReadFull(r, head[:1]); err != nil {
		return 0, nil, inTheMiddle(err)
	}
	n := 1 << (head[0] >> 6)
	if _, err := io.ReadFull(r, head[1:n]); err != nil {
		return 0, nil, inTheMiddle(err)
	}
	length, _, _ := cutInt(head[:n])
	if length > MessageBytesMax {
		return 0, nil, errMessage
	}
	p := make([]byte, length)
	if _, err := io.ReadFull(r, p); err != nil {
		return 0, nil, inTheMiddle(err)
	}
	return k, p, nil
}

func inTheMiddle(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func appendText(b []byte, s string) []byte { return append(appendInt(b, uint64(len(s))), s...) }

func cutText(p []byte) (s string, rest []byte, ok bool) {
	n, p, ok := cutInt(p)
	if !ok || n > uint64(len(p)) {
		return "", nil, false
	}
	return string(p[:n]), p[n:], true
}

// appendInt writes v, below 2^30, as RFC 9000 §16 has it.
func appendInt(b []byte, v uint64) []byte {
	switch {
	case v < 1<<6:
		return append(b, byte(v))
	case v < 1<<14:
		return binary.BigEndian.AppendUint16(b, uint16(v)|1<<14)
	}
	return binary.BigEndian.AppendUint32(b, uint32(v)|2<<30)
}

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
