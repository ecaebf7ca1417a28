package exchange_test

import (
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/wherry/wherry/overlay/exchange"

	"golang.org/x/net/http2"
)

// BenchmarkRoundTrip has the same requests and responses go over exchange, with a session in memory, and over golang.org/x/net/http2, with
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
				i := 0
				for b.Loop() {
					roundTrip(b, over, requests[i%len(requests)])
					i++
				}
			})
			b.Run(size.name+"/"+name+"/eight", func(b *testing.B) {
				over := transports[name](b)
				b.ReportAllocs()
				b.SetBytes(int64(size.bytes))
				b.SetParallelism(4)
				b.RunParallel(func(pb *testing.PB) {
					for i := 0; pb.Next(); i++ {
						roundTrip(b, over, requests[i%len(requests)])
					}
				})
			})
		}
	}
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

func http2Pair(b *testing.B, h http.Handler) http.RoundTripper {
	client, server := net.Pipe()
	served := make(chan struct{})
	go func() {
		(&http2.Server{}).ServeConn(server, &http2.ServeConnOpts{Handler: h})
		close(served)
	}()
	conn, err := (&http2.Transport{DisableCompression: true}).NewClientConn(client)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = conn.Close()
		<-served
	})
	return conn
}
