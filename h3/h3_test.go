package h3

import (
	"bytes"
	"net"
	"testing"
)

// TestKeys: the same secret makes the same keys for a node, and others for another one.
func TestKeys(t *testing.T) {
	secret := bytes.Repeat([]byte{1}, secretBytes)
	made := map[[32]byte]bool{}
	for _, node := range []string{"lisbon-1", "osaka-1"} {
		one, err := NewKeys(secret, node)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := NewKeys(secret, node); err != nil || again != one {
			t.Errorf("%s: other keys after a restart, %v", node, err)
		}
		made[one.reset], made[one.token] = true, true
	}
	for range 2 {
		own, err := NewKeys(nil, "lisbon-1")
		if err != nil {
			t.Fatal(err)
		}
		made[own.reset], made[own.token] = true, true
	}
	if len(made) != 8 {
		t.Errorf("%d of 8 keys differ", len(made))
	}
	if _, err := NewKeys(secret[1:], "lisbon-1"); err == nil {
		t.Error("a short secret was taken")
	}
}

func TestAltSvc(t *testing.T) {
	if got := AltSvc(nil); got != "" {
		t.Errorf("without a socket %q", got)
	}
	u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv6loopback, Port: 0})
	if err != nil {
		t.Skip(err)
	}
	defer u.Close()
	_, port, _ := net.SplitHostPort(u.LocalAddr().String())
	if got, want := AltSvc(u), `h3=":`+port+`"; ma=86400`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
