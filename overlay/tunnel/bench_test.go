//go:build unix

package tunnel_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/wherry/wherry/overlay/exchange"
)

// BenchmarkOverTheOverlay is a round trip over loopback, encrypted: an exchange over the overlay, and net/http's HTTP/2 over TLS and TCP.
func BenchmarkOverTheOverlay(b *testing.B) {
	for _, size := range []struct {
		name  string
		bytes int
	}{{"1KiB", 1 << 10}, {"100KiB", 100 << 10}, {"10MiB", 10 << 20}} {
		content := make([]byte, size.bytes)
		h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
		b.Run(size.name+"/exchange", func(b *testing.B) {
			dial := overOverlay(b, func(ctx context.Context, s session) {
				_ = (&exchange.Server{Handler: h, Limits: exchange.Limits{DrainTimeout: time.Millisecond}}).Serve(ctx, s)
			})
			far := must(dial(b.Context()))
			measure(b, &exchange.Transport{Session: func(context.Context) (exchange.Session, error) { return far, nil }}, "node", size.bytes)
		})
		b.Run(size.name+"/http2", func(b *testing.B) {
			config := testTLS()
			l := must(net.Listen("tcp", "127.0.0.1:0"))
			s := &http.Server{Handler: h, TLSConfig: config}
			served := make(chan struct{})
			go func() {
				_ = s.ServeTLS(l, "", "")
				close(served)
			}()
			over := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: config.RootCAs, ServerName: "node"}, ForceAttemptHTTP2: true}
			b.Cleanup(func() {
				over.CloseIdleConnections()
				_ = s.Close()
				<-served
			})
			measure(b, over, l.Addr().String(), size.bytes)
		})
	}
}

func measure(b *testing.B, over http.RoundTripper, host string, bytes int) {
	b.ReportAllocs()
	b.SetBytes(int64(bytes))
	once := func() {
		resp, err := over.RoundTrip(must(http.NewRequest(http.MethodGet, "https://"+host+"/", nil)))
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != int64(bytes) || err != nil {
			b.Fatal(n, err)
		}
		_ = resp.Body.Close()
	}
	once() // connects
	began, n := processorTime(), 0
	for b.Loop() {
		once()
		n++
	}
	b.ReportMetric(float64(processorTime()-began)/float64(n), "cpu-ns/op")
}

// processorTime is what this process has used, for machines that are busy with something else.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
