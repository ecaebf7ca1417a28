package udp

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"testing"
)

// wrapped hides that a connection is a *net.UDPConn, so that there is nothing better than net.PacketConn.
type wrapped struct{ net.PacketConn }

func listen(t testing.TB, address string) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestDatagramsArriveAsTheyWereSent(t *testing.T) {
	for name, open := range map[string]func(string) *Socket{
		"batched": func(a string) *Socket { return New(listen(t, a)) },
		"plain":   func(a string) *Socket { return New(wrapped{listen(t, a)}) },
	} {
		for _, address := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0"} {
			t.Run(name+" "+address, func(t *testing.T) {
				from, to := open(address), open(address)
				at := to.Addr()
				if at.Addr().IsUnspecified() {
					at = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), at.Port())
				}
				var want [][]byte
				var batch []byte
				for i := range 20 {
					d := bytes.Repeat([]byte{byte(i)}, 1000)
					if i == 19 {
						d = d[:77]
					}
					want = append(want, d)
					batch = append(batch, d...)
				}
				if err := from.Write(batch, 1000, at); err != nil {
					t.Fatal(err)
				}
				for len(want) > 0 {
					messages, err := to.Read()
					if err != nil {
						t.Fatal(err)
					}
					for _, m := range messages {
						if m.From.Port() != from.Addr().Port() {
							t.Fatalf("from %v, want port %d", m.From, from.Addr().Port())
						}
						for b := m.Data; len(b) > 0; {
							n := min(m.Segment, len(b))
							if !bytes.Equal(b[:n], want[0]) {
								t.Fatalf("got %d bytes of %d, want %d of %d", n, b[0], len(want[0]), want[0][0])
							}
							b, want = b[n:], want[1:]
						}
					}
				}
			})
		}
	}
}

func TestWhatIsTooLargeIsSaid(t *testing.T) {
	s := New(listen(t, "127.0.0.1:0"))
	if err := s.Write(make([]byte, DatagramMax+1), DatagramMax+1, s.Addr()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("error %v, want ErrTooLarge", err)
	}
}

func TestCloseEndsRead(t *testing.T) {
	s := New(listen(t, "127.0.0.1:0"))
	done := make(chan error, 1)
	go func() {
		_, err := s.Read()
		done <- err
	}()
	s.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read: %v, want net.ErrClosed", err)
	}
}
