package mesh

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
)

// reportCPU reports the processor time of this process, which is both sides': on a busy machine, time by the clock says little.
func reportCPU(b *testing.B) (done func()) {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := used()
	return func() { b.ReportMetric(float64((used()-before).Microseconds())/float64(b.N), "cpu-µs/op") }
}

// pipeline connects two configurations over loopback, as often as b says; the server sends a byte, for a client to get its ticket.
func pipeline(b *testing.B, client, server *tls.Config, resumed bool) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			conn := tls.Server(raw, server)
			_, _ = conn.Write([]byte("x")) // the client sees what fails
			_ = conn.Close()
		}
	}()
	b.ReportAllocs()
	defer reportCPU(b)()
	for n := 0; b.Loop(); n++ {
		conn, err := tls.Dial("tcp", l.Addr().String(), client)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadAll(conn); err != nil {
			b.Fatal(err)
		}
		if got := conn.ConnectionState().DidResume; got != (resumed && n > 0) {
			b.Fatalf("resumed: %v", got)
		}
		_ = conn.Close()
	}
}

// BenchmarkHandshake is what a connection between two nodes costs both of them, on loopback; plain is without what this room adds, and
// resumed is what session tickets would save, which this room doesn't use.
func BenchmarkHandshake(b *testing.B) {
	a := authority(b)
	server, client := join(b, a, "lisbon-1", time.Now()), join(b, a, "osaka-1", time.Now())
	b.Run("mesh", func(b *testing.B) {
		raw, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		l := server.Listener(raw, ListenOptions{})
		defer l.Close()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Write([]byte("x")) // the client sees what fails
				_ = conn.Close()
			}
		}()
		b.ReportAllocs()
		defer reportCPU(b)()
		for b.Loop() {
			conn, err := client.DialContext(b.Context(), "tcp", raw.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadAll(conn); err != nil {
				b.Fatal(err)
			}
			_ = conn.Close()
		}
	})
	for _, resumed := range []bool{false, true} {
		name := map[bool]string{false: "plain", true: "resumed"}[resumed]
		b.Run(name, func(b *testing.B) {
			serverCert, clientCert := server.id.current.Load().cert, client.id.current.Load().cert
			s := &tls.Config{Certificates: []tls.Certificate{*serverCert}, ClientAuth: tls.RequireAnyClientCert, SessionTicketsDisabled: !resumed}
			c := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{*clientCert}}
			if resumed {
				c.ClientSessionCache = tls.NewLRUClientSessionCache(8)
			}
			pipeline(b, c, s, resumed)
		})
	}
}

// BenchmarkRequest is a small request over an open connection: what a link adds to each read and write.
func BenchmarkRequest(b *testing.B) {
	a := authority(b)
	server, client := join(b, a, "lisbon-1", time.Now()), join(b, a, "osaka-1", time.Now())
	address := serve(b, server, ListenOptions{})
	transport := client.Transport()
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(Expect(b.Context(), "lisbon-1"), http.MethodGet, "https://"+address+"/", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	defer reportCPU(b)()
	for b.Loop() {
		resp, err := transport.RoundTrip(req)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			b.Fatal(err)
		}
		_ = resp.Body.Close()
	}
}

// BenchmarkSetRevoked is what a removal costs a node that has many connections.
func BenchmarkSetRevoked(b *testing.B) {
	m := join(b, authority(b), "lisbon-1", time.Now())
	for range 5000 {
		ours, theirs := net.Pipe()
		defer ours.Close()
		defer theirs.Close()
		if err := m.link(ours, "", m.o.Metrics.accepted).identify(Who{Node: "osaka-1", Issued: time.Now()}); err != nil {
			b.Fatal(err)
		}
	}
	defer reportCPU(b)()
	for b.Loop() {
		m.SetRevoked(map[config.NodeID]time.Time{"oslo-1": time.Now()})
	}
}
