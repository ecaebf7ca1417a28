package dns

import (
	"encoding/binary"
	"net/netip"

	miekg "github.com/miekg/dns"
)

// messageMax is the largest answer over TCP (RFC 1035 §4.2.2).
const messageMax = 65535

// payloadMax is the largest UDP answer: the least MTU of IPv6 (RFC 8200 §5) without the headers passes every path in one piece.
const payloadMax = 1232

// The sections of a message, as indexes into reply.counts.
const (
	sectionAnswer = iota
	sectionAuthority
	sectionAdditional
)

// reply writes one message. Its buffer is reused for the next one.
type reply struct {
	buf    []byte
	counts [3]uint16
	q      *query
	limit  int // bytes
	rcode  int
	aa     bool
	scope  int // of the client subnet

	answersAlias bool // the answer section has a CNAME whose target has no such data
}

// begin starts the answer to q.
func (r *reply) begin(q *query, limit int) {
	*r = reply{buf: r.buf, q: q, limit: limit}
	r.restart()
}

func (r *reply) restart() {
	r.counts = [3]uint16{}
	r.buf = append(r.buf[:0], make([]byte, headerSize)...)
	r.buf = append(r.buf, r.q.question...)
}

// owner returns the name at offset off of the question's name, as a pointer (RFC 1035 §4.1.4).
func owner(off int) uint16 { return 0xc000 | uint16(headerSize+off) }

// record appends a record whose owner is a pointer and returns where its RDATA begins.
func (r *reply) record(section int, owner, rtype uint16, ttl uint32, rdata []byte) int {
	r.buf = binary.BigEndian.AppendUint16(r.buf, owner)
	return r.tail(section, rtype, ttl, rdata)
}

// tail appends what follows the owner.
func (r *reply) tail(section int, rtype uint16, ttl uint32, rdata []byte) int {
	r.counts[section]++
	r.buf = binary.BigEndian.AppendUint16(r.buf, rtype)
	r.buf = binary.BigEndian.AppendUint16(r.buf, miekg.ClassINET)
	r.buf = binary.BigEndian.AppendUint32(r.buf, ttl)
	r.buf = binary.BigEndian.AppendUint16(r.buf, uint16(len(rdata)))
	r.buf = append(r.buf, rdata...)
	return len(r.buf) - len(rdata)
}

func (r *reply) address(section int, owner uint16, ttl uint32, addr netip.Addr) {
	if addr.Is4() {
		raw := addr.As4()
		r.record(section, owner, miekg.TypeA, ttl, raw[:])
		return
	}
	raw := addr.As16()
	r.record(section, owner, miekg.TypeAAAA, ttl, raw[:])
}

// glue appends the addresses of a name server, as long as they fit: those left out are no loss, the asker can ask for them
// (RFC 2181 §9).
func (r *reply) glue(s *nameserver, ttl uint32) {
	for _, addr := range s.entry.addrs {
		before := len(r.buf)
		r.buf = append(r.buf, s.name...)
		raw, rtype := addr.AsSlice(), miekg.TypeA
		if !addr.Is4() {
			rtype = miekg.TypeAAAA
		}
		r.tail(sectionAdditional, rtype, ttl, raw)
		if len(r.buf)+r.optSize() > r.limit {
			r.buf = r.buf[:before]
			r.counts[sectionAdditional]--
			return
		}
	}
}

func (r *reply) optSize() int {
	switch {
	case !r.q.edns:
		return 0
	case r.q.hasSubnet && r.rcode != miekg.RcodeFormatError:
		return 11 + 4 + r.q.subnet.size
	}
	return 11
}

// finish completes the message and returns it with whether it had to be truncated.
func (r *reply) finish() (msg []byte, truncated bool) {
	truncated = len(r.buf)+r.optSize() > r.limit
	if truncated {
		r.restart() // RFC 2181 §9: part of a record set is of no use; the asker comes back over TCP
	}
	if r.q.edns {
		r.opt()
	}
	h := r.buf[:headerSize]
	copy(h, r.q.header[:2])
	h[2] = 0x80 | r.q.header[2]&0x79 // QR; opcode and RD as sent (RFC 1035 §4.1.1)
	if r.aa {
		h[2] |= 0x04
	}
	if truncated {
		h[2] |= 0x02
	}
	h[3] = byte(r.rcode & 0xf)
	if r.q.question != nil {
		h[5] = 1
	}
	for i, n := range r.counts {
		binary.BigEndian.PutUint16(h[6+2*i:], n)
	}
	return r.buf, truncated
}

// opt appends the OPT record (RFC 6891 §6.1.2, §7: only to those who sent one).
func (r *reply) opt() {
	r.counts[sectionAdditional]++
	var flags byte
	if r.q.dnssecOK {
		flags = 0x80 // RFC 3225 §3: copied, though we have nothing signed
	}
	r.buf = append(r.buf, 0)
	r.buf = binary.BigEndian.AppendUint16(r.buf, miekg.TypeOPT)
	r.buf = binary.BigEndian.AppendUint16(r.buf, payloadMax)
	r.buf = append(r.buf, byte(r.rcode>>4), 0, flags, 0)
	size := r.optSize() - 11
	r.buf = binary.BigEndian.AppendUint16(r.buf, uint16(size))
	if size > 0 {
		r.buf = r.q.subnet.append(r.buf, r.scope)
	}
}
