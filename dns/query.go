package dns

import (
	"encoding/binary"

	miekg "github.com/miekg/dns"
)

const (
	headerSize = 12
	nameMax    = 255 // RFC 1035 §2.3.4
	labelMax   = 63
)

// query is one parsed packet. It is reused for the next one.
type query struct {
	header   [4]byte // id and flags as sent
	question []byte  // the question section as sent, so that the answer repeats its upper and lower case; nil if unreadable
	name     []byte  // of the question, in lower case
	qtype    uint16
	class    uint16

	edns      bool // an OPT record came: the answer has one too (RFC 6891 §7)
	version   byte
	dnssecOK  bool
	payload   int // bytes of UDP that the asker takes
	hasSubnet bool
	subnet    subnet

	lower [nameMax]byte
}

// Reasons for giving a packet no answer, as counted in wherry_dns_dropped_total.
const (
	dropShort    = "short"    // not even a header: there is no id to answer to
	dropResponse = "response" // answering an answer makes a loop
)

// parse reads a packet. It returns why the packet gets no answer at all, or else the RCODE that is certain from its form alone.
func (q *query) parse(msg []byte) (rcode int, drop string) {
	q.question, q.name, q.edns, q.hasSubnet, q.qtype, q.class = nil, nil, false, false, 0, 0
	q.payload = miekg.MinMsgSize // RFC 1035 §4.2.1
	if len(msg) < headerSize {
		return 0, dropShort
	}
	copy(q.header[:], msg)
	if msg[2]&0x80 != 0 {
		return 0, dropResponse
	}
	if opcode := msg[2] >> 3 & 0xf; opcode != miekg.OpcodeQuery {
		return miekg.RcodeNotImplemented, "" // RFC 1035 §4.1.1; what follows the header has a form of its own
	}
	if binary.BigEndian.Uint16(msg[4:]) != 1 {
		return miekg.RcodeFormatError, "" // RFC 9619 §4
	}
	off, ok := q.parseQuestion(msg)
	if !ok {
		return miekg.RcodeFormatError, ""
	}
	answers := int(binary.BigEndian.Uint16(msg[6:])) + int(binary.BigEndian.Uint16(msg[8:]))
	additional := int(binary.BigEndian.Uint16(msg[10:]))
	for i := range answers + additional {
		if off, ok = q.parseRecord(msg, off, i >= answers); !ok {
			return miekg.RcodeFormatError, ""
		}
	}
	if off != len(msg) {
		return miekg.RcodeFormatError, ""
	}
	return q.judge(), ""
}

// judge returns the RCODE of a well-formed query that its header, type and class decide.
func (q *query) judge() int {
	switch {
	case q.edns && q.version != 0:
		return miekg.RcodeBadVers // RFC 6891 §6.1.3
	case q.class != miekg.ClassINET:
		return miekg.RcodeRefused // CHAOS version.bind and its like tell attackers more than operators
	}
	switch q.qtype {
	case miekg.TypeAXFR, miekg.TypeIXFR:
		return miekg.RcodeRefused // RFC 5936 §2.2.1: refused by policy
	case miekg.TypeOPT:
		return miekg.RcodeFormatError // RFC 6891 §6.1.1: only a pseudo-record
	case miekg.TypeTKEY, miekg.TypeTSIG, miekg.TypeMAILA, miekg.TypeMAILB:
		return miekg.RcodeNotImplemented
	}
	return miekg.RcodeSuccess
}

// parseQuestion reads the one question and returns the offset behind it.
func (q *query) parseQuestion(msg []byte) (off int, ok bool) {
	off = headerSize
	for {
		if off >= len(msg) {
			return 0, false
		}
		size := int(msg[off])
		// The first name has nothing before it that it could be compressed to.
		if size > labelMax || off+1+size > len(msg) || off+1+size-headerSize > nameMax {
			return 0, false
		}
		off += 1 + size
		if size == 0 {
			break
		}
	}
	end := off + 4
	if end > len(msg) {
		return 0, false
	}
	q.name = q.lower[:off-headerSize]
	for i, c := range msg[headerSize:off] {
		if 'A' <= c && c <= 'Z' { // a label's length byte is below 'A'
			c += 'a' - 'A' // RFC 4343 §3
		}
		q.name[i] = c
	}
	q.question = msg[headerSize:end]
	q.qtype = binary.BigEndian.Uint16(msg[off:])
	q.class = binary.BigEndian.Uint16(msg[off+2:])
	return end, true
}

// parseRecord reads a record of the other sections, all of which are skipped but OPT.
func (q *query) parseRecord(msg []byte, off int, additional bool) (next int, ok bool) {
	start := off
	for {
		if off >= len(msg) {
			return 0, false
		}
		size := int(msg[off])
		if size&0xc0 == 0xc0 { // a compression pointer ends a name (RFC 1035 §4.1.4)
			off += 2
			break
		}
		off += 1 + size
		if size > labelMax {
			return 0, false
		}
		if size == 0 {
			break
		}
	}
	if off+10 > len(msg) {
		return 0, false
	}
	data := off + 10
	next = data + int(binary.BigEndian.Uint16(msg[off+8:]))
	if next > len(msg) {
		return 0, false
	}
	if binary.BigEndian.Uint16(msg[off:]) == miekg.TypeOPT {
		// RFC 6891 §6.1.1: at most one, in the additional section; §6.1.2: its name is the root.
		if q.edns || !additional || msg[start] != 0 {
			return 0, false
		}
		return next, q.parseOPT(msg[off+2:data], msg[data:next])
	}
	return next, true
}

// parseOPT reads an OPT record (RFC 6891 §6.1.2). head begins at its CLASS:
//
//	payload size (2) | extended RCODE (1) | version (1) | DO and Z (2) | RDLENGTH (2)
func (q *query) parseOPT(head, options []byte) bool {
	q.edns = true
	q.payload = max(int(binary.BigEndian.Uint16(head)), miekg.MinMsgSize) // RFC 6891 §6.2.3
	q.version = head[3]
	q.dnssecOK = head[4]&0x80 != 0
	if q.version != 0 {
		return true // the options of another version may look otherwise
	}
	for len(options) > 0 {
		if len(options) < 4 {
			return false
		}
		code, size := binary.BigEndian.Uint16(options), int(binary.BigEndian.Uint16(options[2:]))
		if 4+size > len(options) {
			return false
		}
		if code == miekg.EDNS0SUBNET {
			if q.hasSubnet || !q.subnet.parse(options[4:4+size]) {
				return false
			}
			q.hasSubnet = true
		}
		options = options[4+size:] // RFC 6891 §6.1.2: unknown options are ignored
	}
	return true
}
