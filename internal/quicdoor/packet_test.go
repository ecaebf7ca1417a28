package quicdoor

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

func TestSigner(t *testing.T) {
	one, other := randomSigner(), randomSigner()
	for range 1000 {
		id, err := one.GenerateConnectionID()
		if err != nil || id.Len() != one.ConnectionIDLen() {
			t.Fatalf("%v, %v", id, err)
		}
		if !one.made(id.Bytes()) || other.made(id.Bytes()) {
			t.Fatalf("%v: made by one %t, by the other %t", id, one.made(id.Bytes()), other.made(id.Bytes()))
		}
		for bit := range 8 * id.Len() {
			wrong := bytes.Clone(id.Bytes())
			wrong[bit/8] ^= 1 << (bit % 8)
			if one.made(wrong) {
				t.Fatalf("%x counts as made", wrong)
			}
		}
	}
	if again := newSigner(one.key); true {
		if id, _ := one.GenerateConnectionID(); !again.made(id.Bytes()) {
			t.Error("the same key doesn't know the ID")
		}
	}
	if one.made(nil) || one.made(make([]byte, idMax)) {
		t.Error("an ID of another length counts as made")
	}
}

func TestDestination(t *testing.T) {
	for _, test := range []struct{ packet, want string }{
		{"", ""},
		{"40", ""},
		{"40" + strings.Repeat("01", idBytes), strings.Repeat("01", idBytes)},
		{"40" + strings.Repeat("01", idBytes) + "ff", strings.Repeat("01", idBytes)},
		{"40" + strings.Repeat("01", idBytes-1), ""},
		{"c00000000100", ""},
		{"c00000000103aabbcc00", "aabbcc"},
		{"c00000000103aabb", ""},
		{"c000000001", ""},
		{"8000000000ff", ""},
	} {
		packet, err := hex.DecodeString(test.packet)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(destination(packet)); got != test.want {
			t.Errorf("%s is for %q, want %q", test.packet, got, test.want)
		}
	}
}

func FuzzDestination(f *testing.F) {
	f.Add([]byte{})
	f.Add(append([]byte{0x40}, make([]byte, 20)...))
	f.Add([]byte{0xc0, 0, 0, 0, 1, 3, 1, 2, 3, 0})
	f.Add([]byte{0xff, 0, 0, 0, 1, 255})
	f.Fuzz(func(t *testing.T, packet []byte) {
		id := destination(packet)
		if len(id) > 0 && !bytes.Contains(packet, id) {
			t.Errorf("%x isn't in %x", id, packet)
		}
		if !longHeader(packet) && len(id) != 0 && len(id) != idBytes {
			t.Errorf("an ID of %d bytes in a short header", len(id))
		}
		randomSigner().made(id)
	})
}

// FuzzPassed: what is passed on arrives as it was, and nothing else is taken for a packet.
func FuzzPassed(f *testing.F) {
	for _, from := range []string{"192.0.2.1:443", "[2001:db8::1]:443", "[fe80::1%eth0]:443", "[::ffff:192.0.2.1]:443"} {
		p := passed{netip.MustParseAddrPort(from), []byte("control"), []byte("packet")}
		f.Add(p.append(nil))
	}
	f.Add(appendHello(nil, randomSigner()))
	f.Add([]byte{4, 0, 0})
	f.Add([]byte{6, 0, 0, 1})
	f.Fuzz(func(t *testing.T, m []byte) {
		if s, ok := parseHello(m); ok && !bytes.Equal(appendHello(nil, s), m) {
			t.Errorf("the key of %x is %x", m, s.key)
		}
		var p passed
		if !p.parse(m) {
			return
		}
		if again := p.append(nil); !bytes.Equal(again, m) {
			t.Errorf("%x became %x", m, again)
		}
	})
}

func TestPassedBounds(t *testing.T) {
	from := netip.MustParseAddrPort("192.0.2.1:443")
	for name, p := range map[string]passed{
		"no packet":        {from, nil, nil},
		"too long":         {from, nil, make([]byte, packetMax+1)},
		"too much control": {from, make([]byte, controlMax+1), []byte("p")},
		"no address":       {netip.AddrPort{}, nil, []byte("p")},
		"a zone too long":  {netip.MustParseAddrPort("[fe80::1%" + strings.Repeat("z", zoneMax+1) + "]:1"), nil, []byte("p")},
	} {
		if m := p.append(nil); len(m) > 0 {
			t.Errorf("%s: passed on as %x", name, m)
		}
	}
	most := passed{netip.MustParseAddrPort("[fe80::1%" + strings.Repeat("z", zoneMax) + "]:1"), make([]byte, controlMax), make([]byte, packetMax)}
	if m := most.append(nil); len(m) != passedMax {
		t.Errorf("the largest message has %d bytes, want %d", len(m), passedMax)
	}
}
