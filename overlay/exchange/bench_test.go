//go:build unix

package exchange_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wherry/wherry/overlay/exchange"
)

// BenchmarkRoundTrip has the same requests and responses go over exchange, with a session in memory, and over net/http's HTTP/2, with
// net.Pipe, one at a time and eight at a time.
func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"1KiB", 1 << 10}, {"100KiB", 100 << 10}} {
		requests, responses := exchange.Traffic(2000)
		content := make([]byte, size.bytes)
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			for name, values := range responses[len(r.URL.Path)*7%len(responses)] {
				if name != "Content-Length" {
					h[name] = values
				}
			}
			_, _ = w.Write(content)
		})
		transports := map[string]func(b *testing.B) http.RoundTripper{
			"exchange": func(b *testing.B) http.RoundTripper {
				over, _ := serve(b, handler, exchange.Limits{})
				return over
			},
			"http2": func(b *testing.B) http.RoundTripper { return http2Pair(b, handler) },
		}
		for _, name := range []string{"exchange", "http2"} {
			b.Run(size.name+"/"+name+"/one", func(b *testing.B) {
				over := transports[name](b)
				b.ReportAllocs()
				b.SetBytes(int64(size.bytes))
				began, i := processorTime(), 0
				for b.Loop() {
					roundTrip(b, over, requests[i%len(requests)])
					i++
				}
				b.ReportMetric(float64(processorTime()-began)/float64(i), "cpu-ns/op")
			})
			b.Run(size.name+"/"+name+"/eight", func(b *testing.B) {
				over := transports[name](b)
				b.ReportAllocs()
				b.SetBytes(int64(size.bytes))
				b.SetParallelism(4)
				began := processorTime()
				b.RunParallel(func(pb *testing.PB) {
					for i := 0; pb.Next(); i++ {
						roundTrip(b, over, requests[i%len(requests)])
					}
				})
				b.ReportMetric(float64(processorTime()-began)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// processorTime is what this process has used, for machines that are busy with something else.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func roundTrip(b *testing.B, over http.RoundTripper, r *http.Request) {
	resp, err := over.RoundTrip(r)
	if err != nil {
		b.Error(err)
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// http2Pair is net/http's HTTP/2 over one net.Pipe, without TLS.
func http2Pair(b *testing.B, h http.Handler) http.RoundTripper {
	client, server := net.Pipe()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{Handler: h, Protocols: &protocols}
	l := &oneConn{conn: make(chan net.Conn, 1), closed: make(chan struct{})}
	l.conn <- server
	served := make(chan struct{})
	go func() {
		_ = s.Serve(l)
		close(served)
	}()
	t := &http.Transport{
		Protocols: &protocols, DisableCompression: true, DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil },
	}
	b.Cleanup(func() {
		t.CloseIdleConnections()
		_ = s.Close()
		<-served
	})
	first, err := http.NewRequest(http.MethodGet, "https://one.example/", nil)
	if err != nil {
		b.Fatal(err)
	}
	roundTrip(b, plain{t}, first) // so that all find the one connection
	return plain{t}
}

// plain asks without TLS.
type plain struct{ over http.RoundTripper }

func (p plain) RoundTrip(r *http.Request) (*http.Response, error) {
	u := *r.URL
	u.Scheme = "http"
	u.Host = "one.example" // all over the one connection
	out := *r
	out.URL = &u
	return p.over.RoundTrip(&out)
}

// oneConn is a listener of one connection.
type oneConn struct {
	conn   chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{} }
