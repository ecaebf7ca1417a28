package simnet_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"github.com/wherry/wherry/internal/simnet"
)

func packets(t *testing.T, h *simnet.Host, address string) net.PacketConn {
	t.Helper()
	p, err := h.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// drain counts what has arrived at p until nothing comes for a second.
func drain(t *testing.T, p net.PacketConn) (texts []string) {
	t.Helper()
	b := make([]byte, 2048)
	for {
		p.SetReadDeadline(time.Now().Add(time.Second))
		n, _, err := p.ReadFrom(b)
		if err != nil {
			wantError(t, "read", err, os.ErrDeadlineExceeded)
			return texts
		}
		texts = append(texts, string(b[:n]))
	}
}

func TestDatagrams(t *testing.T) {
	const sent = 1000
	for _, tt := range []struct {
		name      string
		link      simnet.Link
		sizeBytes int
		least     int
		most      int
		reordered bool
	}{
		{"perfect", simnet.Link{}, 100, sent, sent, false},
		{"half lost", simnet.Link{Latency: time.Millisecond, Loss: 0.5}, 100, 400, 600, false},
		{"jitter reorders", simnet.Link{Latency: time.Millisecond, Jitter: time.Millisecond}, 100, sent, sent, true},
		{"largest for the MTU", simnet.Link{MTUBytes: 1280}, 1252, 100, sent, false},
		{"larger than the MTU", simnet.Link{MTUBytes: 1280}, 1253, 0, 0, false},
		{"queue of the rate full", simnet.Link{RateBytesPerSecond: 12_800, QueueBytes: 1280}, 100, 10, 10, false},
		{"receiver's buffer full", simnet.Link{}, 1400, 145, 146, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(simnet.Options{Link: tt.link, Seed: 7})
				a, b := packets(t, n.Host("a"), ":0"), packets(t, n.Host("b"), ":53")
				for i := range sent {
					text := fmt.Sprintf("%0*d", tt.sizeBytes, i)
					if _, err := a.WriteTo([]byte(text), &net.UDPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 53}); err != nil {
						t.Fatal(err)
					}
				}
				got := drain(t, b)
				if len(got) < tt.least || len(got) > tt.most {
					t.Errorf("%d of %d arrived, want %d to %d", len(got), sent, tt.least, tt.most)
				}
				reordered := false
				for i := 1; i < len(got); i++ {
					reordered = reordered || got[i] < got[i-1]
				}
				if reordered != tt.reordered {
					t.Errorf("reordered is %v", reordered)
				}
			})
		})
	}
}

func TestDatagramAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Options{})
		a := n.Host("a", netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"))
		b := n.Host("b", netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("2001:db8::2"))
		server := packets(t, b, ":53")
		for to, from := range map[string]string{"192.0.2.2:53": "192.0.2.1", "[2001:db8::2]:53": "2001:db8::1"} {
			c := dial(t, a, "udp", to)
			write(t, c, "hello")
			_, sender, err := server.ReadFrom(make([]byte, 16))
			if err != nil || sender.(*net.UDPAddr).AddrPort().Addr() != netip.MustParseAddr(from) {
				t.Errorf("%s saw %v, %v; want %s", to, sender, err, from)
			}
			if _, err := server.WriteTo([]byte("back"), sender); err != nil {
				t.Fatal(err)
			}
			readFull(t, c, "back")
			c.Close()
		}

		c := dial(t, a, "udp", "192.0.2.2:54")
		write(t, c, "anyone?")
		_, err := c.Read(make([]byte, 1))
		wantError(t, "read from a closed port", err, syscall.ECONNREFUSED)
		c.Close()

		_, err = b.ListenPacket("udp", ":53")
		wantError(t, "second listener", err, syscall.EADDRINUSE)
		_, err = a.ListenPacket("udp", "192.0.2.2:53")
		wantError(t, "another's address", err, syscall.EADDRNOTAVAIL)
	})
}

func TestDatagramsAcrossCutAndBlackhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Options{Link: simnet.Link{Latency: 10 * time.Millisecond}})
		a, b := n.Host("a"), n.Host("b")
		from, to := dial(t, a, "udp", "10.0.0.2:53"), packets(t, b, ":53")
		write(t, from, "under way when the cable goes")
		b.Blackhole()
		write(t, from, "blackholed")
		time.Sleep(time.Second)
		b.Heal()
		n.Cut(a, b)
		write(t, from, "cut")
		n.Heal(a, b)
		write(t, from, "through")
		if got := drain(t, to); len(got) != 1 || got[0] != "through" {
			t.Errorf("arrived: %q, want only what was sent over a whole path", got)
		}
		from.Close()
	})
}

// A DNS client and server of miekg/dns over both transports: what the dns room will run over this network.
func TestDNSOverTheNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(simnet.Options{Link: simnet.Link{Latency: 15 * time.Millisecond}})
		resolver, server := n.Host("resolver"), n.Host("ns1")
		handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			answer := new(dns.Msg).SetReply(q)
			answer.Answer = []dns.RR{&dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 20},
				A:   net.IPv4(192, 0, 2, 1),
			}}
			if err := w.WriteMsg(answer); err != nil {
				t.Error(err)
			}
		})
		for network, s := range map[string]*dns.Server{
			"udp": {PacketConn: packets(t, server, ":53"), Handler: handler},
			"tcp": {Listener: listen(t, server, ":53"), Handler: handler},
		} {
			done := make(chan error)
			started := make(chan struct{})
			s.NotifyStartedFunc = func() { close(started) }
			go func() { done <- s.ActivateAndServe() }()
			<-started
			c := dial(t, resolver, network, "ns1:53")
			answer, roundTrip, err := new(dns.Client).ExchangeWithConn(new(dns.Msg).SetQuestion("shop.test.", dns.TypeA), &dns.Conn{Conn: c})
			if err != nil || len(answer.Answer) != 1 || roundTrip != 30*time.Millisecond {
				t.Errorf("%s: %v in %v, %v", network, answer, roundTrip, err)
			}
			c.Close()
			if err := s.Shutdown(); err != nil {
				t.Error(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}
