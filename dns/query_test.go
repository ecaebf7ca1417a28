package dns

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	miekg "github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// unhex reads hexadecimal bytes with spaces; text stands between apostrophes.
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	var out []byte
	for i, part := range strings.Split(text, "'") {
		if i%2 == 1 {
			out = append(out, part...)
			continue
		}
		raw, err := hex.DecodeString(strings.ReplaceAll(part, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, raw...)
	}
	return out
}

// longName has three labels of 63 octets and one of last; with 61 it has 255 in all, as many as a name may have.
func longName(last int) string {
	return strings.Repeat("3f"+strings.Repeat("61", 63), 3) + fmt.Sprintf("%02x", last) + strings.Repeat("61", last) + "00 "
}

const (
	head     = "1234 0100 0001 0000 0000 0000 "
	headOPT  = "1234 0100 0001 0000 0000 0001 "
	option   = "0008 0007 0001 18 00 0a0102"
	question = "04 'shop' 04 'test' 00 0001 0001 "
	optEmpty = "00 0029 04d0 00 00 0000 0000 "
)

// packetForms are packets of every form and their response codes; "drop" means that no answer may come.
func packetForms() map[string]struct{ packet, want string } {
	return map[string]struct{ packet, want string }{
		"plain query":                  {head + question, "NOERROR"},
		"with OPT":                     {headOPT + question + optEmpty, "NOERROR"},
		"empty":                        {"", "drop"},
		"header cut short":             {"1234 0100 0001 0000 0000 00", "drop"},
		"answer":                       {"1234 8100 0001 0000 0000 0000" + question, "drop"},
		"answer that says FORMERR":     {"1234 8101 0000 0000 0000 0000", "drop"},
		"header alone":                 {"1234 0100 0000 0000 0000 0000", "FORMERR"},
		"header that promises more":    {head, "FORMERR"},
		"two questions":                {"1234 0100 0002 0000 0000 0000" + question + question, "FORMERR"},
		"question cut in its name":     {head + "04 'sho", "FORMERR"},
		"question without class":       {head + "04 'shop' 04 'test' 00 0001", "FORMERR"},
		"compressed question":          {head + "04 'shop' c00c 0001 0001", "FORMERR"},
		"label of a reserved kind":     {head + "44 'shop' 00 0001 0001", "FORMERR"},
		"bytes behind the end":         {head + question + "00", "FORMERR"},
		"OPT cut short":                {headOPT + question + "00 0029 04d0 00 00 0000 00", "FORMERR"},
		"OPT data cut short":           {headOPT + question + "00 0029 04d0 00 00 0000 0004 0008", "FORMERR"},
		"OPT with a name":              {headOPT + question + "01 'x' 00 0029 04d0 00 00 0000 0000", "FORMERR"},
		"OPT with a compressed name":   {headOPT + question + "c015 0029 04d0 00 00 0000 0000", "FORMERR"},
		"two OPTs":                     {"1234 0100 0001 0000 0000 0002" + question + optEmpty + optEmpty, "FORMERR"},
		"OPT in the answer section":    {"1234 0100 0001 0001 0000 0000" + question + optEmpty, "FORMERR"},
		"option cut in its header":     {headOPT + question + "00 0029 04d0 00 00 0000 0003 0008 00", "FORMERR"},
		"option longer than its OPT":   {headOPT + question + "00 0029 04d0 00 00 0000 0004 0008 0008", "FORMERR"},
		"unknown option":               {headOPT + question + "00 0029 04d0 00 00 0000 0006 fde9 0002 1234", "NOERROR"},
		"another record":               {headOPT + question + "c00c 0001 0001 00000000 0004 01020304", "NOERROR"},
		"another record, name cut":     {headOPT + question + "04 'sh'", "FORMERR"},
		"another record, label 0x80":   {headOPT + question + "80 00", "FORMERR"},
		"another record, pointer cut":  {headOPT + question + "c0", "FORMERR"},
		"EDNS version 1":               {headOPT + question + "00 0029 04d0 00 01 0000 0000", "BADVERS"},
		"EDNS version 1, odd options":  {headOPT + question + "00 0029 04d0 00 01 0000 0001 ff", "BADVERS"},
		"opcode STATUS":                {"1234 1000 0001 0000 0000 0000" + question, "NOTIMP"},
		"opcode NOTIFY":                {"1234 2000 0001 0000 0000 0000" + question, "NOTIMP"},
		"opcode UPDATE":                {"1234 2800 0001 0000 0000 0000" + question, "NOTIMP"},
		"opcode 15 and nothing behind": {"1234 7900 0001 0000 0000 0000", "NOTIMP"},
		"class CHAOS":                  {head + "07 'version' 04 'bind' 00 0010 0003", "REFUSED"},
		"class NONE":                   {head + "04 'shop' 04 'test' 00 0001 00fe", "REFUSED"},
		"OPT asked for":                {head + "04 'shop' 04 'test' 00 0029 0001", "FORMERR"},
		"type 0":                       {head + "04 'shop' 04 'test' 00 0000 0001", "NOERROR"},
		"a dot inside a label":         {head + "09 'shop.test' 00 0001 0001", "REFUSED"},
		"root":                         {head + "00 0001 0001", "REFUSED"},
		"longest name":                 {head + longName(61) + "0001 0001", "REFUSED"},
		"name too long":                {head + longName(62) + "0001 0001", "FORMERR"},
		"subnet":                       {headOPT + question + "00 0029 04d0 00 00 0000 000b 0008 0007 0001 18 00 0a0102", "NOERROR"},
		"two subnets":                  {headOPT + question + "00 0029 04d0 00 00 0000 0016" + option + option, "FORMERR"},
		"malformed subnet":             {headOPT + question + "00 0029 04d0 00 00 0000 000b 0008 0007 0001 17 00 0a0103", "FORMERR"},
	}
}

// TestPackets sends them.
func TestPackets(t *testing.T) {
	s := newQuiet(t, loadSnapshot(t, "testdata/network.yaml", ""))
	for name, c := range packetForms() {
		t.Run(name, func(t *testing.T) {
			packet := unhex(t, strings.TrimSuffix(c.packet, " "))
			x := exchange{server: s}
			raw := x.respond(packet, netip.MustParseAddr("127.0.0.1"), false)
			if raw == nil {
				if c.want != "drop" {
					t.Fatalf("no answer, want %s", c.want)
				}
				return
			}
			var m miekg.Msg
			if err := m.Unpack(raw); err != nil {
				t.Fatalf("the answer doesn't parse: %v", err)
			}
			if got := miekg.RcodeToString[m.Rcode]; got != c.want && (c.want != "BADVERS" || m.Rcode != miekg.RcodeBadVers) {
				t.Errorf("%s, want %s", got, c.want)
			}
			if m.Id != 0x1234 || !m.Response || m.RecursionAvailable || m.Opcode != int(packet[2]>>3&0xf) ||
				m.RecursionDesired != (packet[2]&1 == 1) {
				t.Errorf("header %v", m.MsgHdr)
			}
			if c.want == "NOERROR" && !bytes.Equal(raw[12:12+len(unhex(t, question))], packet[12:12+len(unhex(t, question))]) {
				t.Error("the question doesn't come back as it was sent")
			}
		})
	}
}

func TestEDNS(t *testing.T) {
	s := newQuiet(t, loadSnapshot(t, "testdata/network.yaml", ""))
	for name, c := range map[string]struct {
		packet            string
		opt, do           bool
		version, extended uint8
	}{
		"none asked, none given": {packet: head + question},
		"asked":                  {packet: headOPT + question + optEmpty, opt: true},
		"DO comes back":          {packet: headOPT + question + "00 0029 04d0 00 00 8000 0000", opt: true, do: true},
		"another version":        {packet: headOPT + question + "00 0029 04d0 00 07 0000 0000", opt: true, extended: 1},
		"unknown option":         {packet: headOPT + question + "00 0029 04d0 00 00 0000 0006 fde9 0002 1234", opt: true},
	} {
		x := exchange{server: s}
		var m miekg.Msg
		if err := m.Unpack(x.respond(unhex(t, strings.TrimSuffix(c.packet, " ")), netip.MustParseAddr("127.0.0.1"), false)); err != nil {
			t.Fatal(err)
		}
		opt := m.IsEdns0()
		if (opt != nil) != c.opt {
			t.Errorf("%s: OPT %v, want one: %v", name, opt, c.opt)
			continue
		}
		if opt != nil && (opt.Version() != 0 || opt.Do() != c.do || opt.UDPSize() != 1232 || len(opt.Option) != 0 ||
			uint8(m.Rcode>>4) != c.extended) {
			t.Errorf("%s: %v, rcode %d", name, opt, m.Rcode)
		}
	}
}

func TestSubnetOption(t *testing.T) {
	for name, c := range map[string]struct{ option, want string }{
		"IPv4":                    {"0001 18 00 0a0102", "10.1.2.0/24"},
		"IPv4, odd length":        {"0001 17 00 0a0102", "10.1.2.0/23"},
		"IPv4, all bits":          {"0001 20 00 0a010203", "10.1.2.3/32"},
		"IPv6":                    {"0002 38 00 20010db8000156", "2001:db8:1:5600::/56"},
		"IPv6, all bits":          {"0002 80 00 20010db8000100000000000000000001", "2001:db8:1::1/128"},
		"IPv4 withheld":           {"0001 00 00", "withheld"},
		"IPv6 withheld":           {"0002 00 00", "withheld"},
		"family 0 withheld":       {"0000 00 00", "withheld"},
		"family 0 with a length":  {"0000 08 00 0a", "bad"},
		"family 0 with octets":    {"0000 00 00 00", "bad"},
		"unknown family":          {"0003 08 00 0a", "bad"},
		"unknown family withheld": {"0003 00 00", "bad"},
		"scope in a query":        {"0001 18 18 0a0102", "bad"},
		"too few octets":          {"0001 18 00 0a01", "bad"},
		"too many octets":         {"0001 18 00 0a010200", "bad"},
		"bits behind the length":  {"0001 17 00 0a0103", "bad"},
		"IPv4 too long":           {"0001 21 00 0a01020304", "bad"},
		"IPv6 too long":           {"0002 81 00 20010db800010000000000000000000100", "bad"},
		"cut":                     {"0001 18", "bad"},
		"empty":                   {"", "bad"},
	} {
		s := subnet{prefix: netip.MustParsePrefix("192.0.2.0/24")}
		for i := range s.raw {
			s.raw[i] = 0xff // what an earlier query has left behind
		}
		option := unhex(t, c.option)
		got := "bad"
		if s.parse(option) {
			got = "withheld"
			if s.prefix.IsValid() {
				got = s.prefix.String()
			}
			if back := s.append(nil, 9)[4:]; !bytes.Equal(back[:3], option[:3]) || back[3] != 9 || !bytes.Equal(back[4:], option[4:]) {
				t.Errorf("%s: comes back as %x", name, back)
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	s, err := New(Options{Snapshot: loadSnapshot(t, "testdata/network.yaml", ""), Metrics: NewMetrics(reg)})
	if err != nil {
		t.Fatal(err)
	}
	x := exchange{server: s}
	for _, packet := range []string{
		head + question, head + question, "12", "1234 8100 0000 0000 0000 0000", head + "04 'nope' 04 'test' 00 0041 0001", head,
		headOPT + question + "00 0029 04d0 00 01 0000 0000",
	} {
		x.respond(unhex(t, strings.TrimSuffix(packet, " ")), netip.MustParseAddr("127.0.0.1"), false)
	}
	want := `
# HELP wherry_dns_dropped_total Packets that got no answer, by reason.
# TYPE wherry_dns_dropped_total counter
wherry_dns_dropped_total{reason="response"} 1
wherry_dns_dropped_total{reason="short"} 1
# HELP wherry_dns_node_up Whether a node answers its health check at one of its addresses or more.
# TYPE wherry_dns_node_up gauge
wherry_dns_node_up{node="cellar-1"} 1
wherry_dns_node_up{node="lisbon-1"} 1
wherry_dns_node_up{node="lisbon-2"} 1
wherry_dns_node_up{node="lisbon-3"} 1
wherry_dns_node_up{node="osaka-1"} 1
# HELP wherry_dns_queries_total Queries answered, by type and response code.
# TYPE wherry_dns_queries_total counter
wherry_dns_queries_total{rcode="BADVERS",type="A"} 1
wherry_dns_queries_total{rcode="FORMERR",type="none"} 1
wherry_dns_queries_total{rcode="NOERROR",type="A"} 2
wherry_dns_queries_total{rcode="REFUSED",type="HTTPS"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want),
		"wherry_dns_queries_total", "wherry_dns_dropped_total", "wherry_dns_node_up"); err != nil {
		t.Error(err)
	}
}
