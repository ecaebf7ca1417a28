package dns

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	miekg "github.com/miekg/dns"
)

// FuzzQuery sends any packet. Whatever it is, the answer parses, is an answer to it and no larger than the asker allows.
func FuzzQuery(f *testing.F) {
	s := newQuiet(f, loadSnapshot(f, "testdata/network.yaml", restSite))
	for _, name := range []string{"wherry.test.", "shop.test.", "blog.wherry.test.", "whoami.wherry.test.", "a.b.c.example.", "."} {
		for _, qtype := range []string{"A", "AAAA", "NS", "SOA", "TXT", "ANY", "AXFR"} {
			q := new(miekg.Msg).SetQuestion(name, miekg.StringToType[qtype])
			for _, subnet := range []string{"", "10.1.2.0/24", "2001:db8:1::/48", "0.0.0.0/0", "192.168.1.0/24"} {
				if subnet != "" {
					q.Extra = nil
					withSubnet(q, netip.MustParsePrefix(subnet))
				}
				raw, err := q.Pack()
				if err != nil {
					f.Fatal(err)
				}
				f.Add(raw, subnet == "")
			}
		}
	}
	f.Fuzz(func(t *testing.T, packet []byte, overTCP bool) {
		if len(packet) > 65535 {
			return
		}
		x := exchange{server: s}
		sent := bytes.Clone(packet)
		raw := x.respond(packet, netip.MustParseAddr("127.0.0.1"), overTCP)
		if !bytes.Equal(packet, sent) {
			t.Fatal("the query was written to")
		}
		if dropped := len(packet) < 12 || packet[2]&0x80 != 0; dropped != (raw == nil) {
			t.Fatalf("answer %x to %x", raw, packet)
		}
		if raw == nil {
			return
		}
		var m miekg.Msg
		if err := m.Unpack(raw); err != nil {
			t.Fatalf("the answer %x to %x doesn't parse: %v", raw, packet, err)
		}
		if m.Id != binary.BigEndian.Uint16(packet) || !m.Response || m.Opcode != int(packet[2]>>3&0xf) {
			t.Fatalf("header %v for %x", m.MsgHdr, packet)
		}
		limit := 65535
		if !overTCP {
			limit = 512
			if m.IsEdns0() != nil {
				limit = payloadMax
			}
		}
		if len(raw) > limit {
			t.Fatalf("%d bytes, allowed are %d", len(raw), limit)
		}
		// What miekg can read as a query of one question gets its question back, and an OPT record only for an OPT record.
		var q miekg.Msg
		if q.Unpack(packet) != nil || len(q.Question) != 1 || q.Opcode != miekg.OpcodeQuery || m.Rcode == miekg.RcodeFormatError {
			return
		}
		if len(m.Question) != 1 || m.Question[0] != q.Question[0] {
			t.Fatalf("question %v for %v", m.Question, q.Question)
		}
		if (m.IsEdns0() != nil) != (q.IsEdns0() != nil) {
			t.Fatalf("OPT %v for %v", m.IsEdns0(), q.IsEdns0())
		}
		if opt := q.IsEdns0(); opt != nil && !overTCP && len(raw) > max(512, int(opt.UDPSize())) {
			t.Fatalf("%d bytes, asked for %d at most", len(raw), opt.UDPSize())
		}
	})
}

// FuzzSubnet parses any option. One that is taken has a masked prefix of its family and comes back as it was.
func FuzzSubnet(f *testing.F) {
	f.Add([]byte{0, 1, 24, 0, 10, 1, 2})
	f.Add([]byte{0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 1, 0x56})
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0, 1, 0, 0})
	f.Fuzz(func(t *testing.T, option []byte) {
		var s subnet
		if !s.parse(option) {
			return
		}
		bits := int(option[2])
		if s.prefix.IsValid() != (bits > 0) || bits > 0 && (s.prefix.Bits() != bits || s.prefix.Masked() != s.prefix) {
			t.Fatalf("%x is %v", option, s.prefix)
		}
		if back := s.append(nil, 0)[4:]; !bytes.Equal(back, option) {
			t.Fatalf("%x comes back as %x", option, back)
		}
	})
}
