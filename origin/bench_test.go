package origin

import (
	"io"
	"net"
	"net/http"
	"testing"
)

// BenchmarkRoundTrip measures what this room costs above a bare http.Transport: the two run against the same origin, which is
// fast enough to make the difference show.
func BenchmarkRoundTrip(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	serveRaw(b, l, func(conn net.Conn) {
		response := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello")
		buf := make([]byte, 1<<12) // a request arrives in one piece
		for {
			if _, err := conn.Read(buf); err != nil {
				return
			}
			if _, err := conn.Write(response); err != nil {
				return
			}
		}
	})
	url := "http://" + l.Addr().String()
	bare := &http.Transport{DisableCompression: true, MaxConnsPerHost: 256}
	defer bare.CloseIdleConnections()
	run := func(name string, rt http.RoundTripper, url string) {
		b.Run(name, func(b *testing.B) {
			req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url+"/a/path?query", nil)
			if err != nil {
				b.Fatal(err)
			}
			req.Header = http.Header{"User-Agent": {"bench"}, "Accept": {"*/*"}}
			buf := make([]byte, 64)
			b.ReportAllocs()
			for b.Loop() {
				resp, err := rt.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				for {
					if _, err = resp.Body.Read(buf); err != nil {
						break
					}
				}
				if err != io.EOF {
					b.Fatal(err)
				}
				_ = resp.Body.Close()
			}
		})
	}
	run("bare", bare, url)
	p := poolsOf(b, nil, siteOf(b, defaults(), url))
	run("origin", p.Upstream("shop"), "http://shop.test")
}

func BenchmarkPick(b *testing.B) {
	c := &chooser{members: []member{{weight: 5}, {weight: 1}, {weight: 1}, {weight: 1, backup: true}}}
	b.ReportAllocs()
	for b.Loop() {
		c.pick(epoch, none)
	}
}
