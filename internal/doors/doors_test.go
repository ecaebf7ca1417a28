package doors

import (
	"net"
	"strings"
	"testing"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/internal/handover"
)

func TestHTTPS(t *testing.T) {
	var d Doors
	defer d.Close()
	l, u, err := d.HTTPS("listen.https", "listen.http3", "127.0.0.1:0", true)
	if err != nil {
		t.Fatal(err)
	}
	if l.Addr().String() != u.LocalAddr().String() {
		t.Errorf("HTTPS at %s, HTTP/3 at %s", l.Addr(), u.LocalAddr())
	}
	for _, off := range []struct {
		address config.Address
		http3   bool
	}{{config.Off, true}, {"127.0.0.1:0", false}} {
		if _, u, err := d.HTTPS("listen.https", "listen.http3", off.address, off.http3); err != nil || u != nil {
			t.Errorf("%v: %v, %v", off, u, err)
		}
	}
}

// TestPortTakenForUDPAlone: the half that can't be opened is named, and the other one isn't left open.
func TestPortTakenForUDPAlone(t *testing.T) {
	u, err := net.ListenPacket("udp", "127.86.0.1:0") // where no other test has a TCP connection of that port by chance
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	at := u.LocalAddr().String()
	var d Doors
	defer d.Close()
	_, _, err = d.HTTPS("listen.https", "listen.http3", config.Address(at), true)
	if err == nil || !strings.Contains(err.Error(), "listen.http3 "+at+" (UDP): another process listens there") {
		t.Errorf("got %v", err)
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatalf("TCP is left open: %v", err)
	}
	l.Close()
}

// TestHandOver: the next program gets the socket of HTTP/3, also from a program that had none.
func TestHandOver(t *testing.T) {
	var old Doors
	defer old.Close()
	l, u, err := old.HTTPS("listen.https", "listen.http3", "127.0.0.1:0", true)
	if err != nil {
		t.Fatal(err)
	}
	all, done, err := old.HandOver()
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Listeners) != 1 || len(all.Packets) != 2 {
		t.Errorf("%d listeners and %d sockets for datagrams are handed over", len(all.Listeners), len(all.Packets))
	}
	// In one process the doors are the same ones, not duplicates.
	next := Doors{Inherited: all}
	defer next.Close()
	l2, u2, err := next.HTTPS("listen.https", "listen.http3", "127.0.0.1:0", true)
	if err != nil || l2 != l || u2.LocalAddr().String() != u.LocalAddr().String() {
		t.Errorf("inherited %v and %v, %v", l2, u2, err)
	}
	done(false)

	without := Doors{Inherited: handover.Doors{Listeners: map[string]net.Listener{"listen.https": listen(t)}}}
	defer without.Close()
	l3, u3, err := without.HTTPS("listen.https", "listen.http3", "127.0.0.1:0", true)
	if err != nil || u3 == nil || l3.Addr().String() != u3.LocalAddr().String() {
		t.Errorf("from a program without HTTP/3: %v and %v, %v", l3, u3, err)
	}
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
