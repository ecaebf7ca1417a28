package exchange

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"testing"
	"time"

	"golang.org/x/net/http2/hpack"
)

// Traffic is what an edge forwards to a parent: n requests of a few sites by many clients, with what browsers and origins send. It is
// the same in every run.
func Traffic(n int) (requests []*http.Request, responses []http.Header) {
	rng := rand.New(rand.NewPCG(1, 2))
	agents := []string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
		"Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36",
	}
	languages := []string{"en-US,en;q=0.9", "de-DE,de;q=0.9,en;q=0.8", "pt-PT,pt;q=0.9", "ja,en-US;q=0.9,en;q=0.8"}
	kinds := []struct{ path, accept, mode, dest, mime, cache string }{
		{"/products/%d", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "navigate", "document", "text/html; charset=utf-8", "private"},
		{"/api/v2/cart/%d?currency=EUR", "application/json", "cors", "empty", "application/json", "no-store"},
		{"/static/app.%x.js", "*/*", "no-cors", "script", "text/javascript", "public, max-age=31536000, immutable"},
		{"/images/%d/large.webp", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", "no-cors", "image", "image/webp", "public, max-age=31536000"},
	}
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for range n {
		at = at.Add(time.Duration(rng.IntN(300)) * time.Millisecond)
		site, kind := rng.IntN(4), kinds[rng.IntN(len(kinds))]
		host := []string{"shop.example", "www.news.example", "api.bank.example", "cdn.video.example"}[site]
		r, _ := http.NewRequest(http.MethodGet, "https://"+host+fmt.Sprintf(kind.path, rng.IntN(5000)), nil)
		client := rng.IntN(200)
		r.Header = http.Header{
			"User-Agent": {agents[client%5]}, "Accept": {kind.accept}, "Accept-Encoding": {"gzip, deflate, br, zstd"},
			"Accept-Language": {languages[client%4]}, "Referer": {"https://" + host + "/"}, "Sec-Fetch-Mode": {kind.mode}, "Sec-Fetch-Dest": {kind.dest},
			"Sec-Fetch-Site": {"same-origin"}, "X-Forwarded-For": {fmt.Sprintf("198.51.100.%d", client)}, "X-Forwarded-Proto": {"https"},
			"Via": {"2 lisbon-1 (wherry)"}, "Cdn-Loop": {"wherry; id=net1"}, "Wherry-Request-Id": {fmt.Sprintf("%016x%016x", rng.Uint64(), rng.Uint64())},
		}
		if kind.dest == "document" || kind.dest == "empty" {
			r.Header["Cookie"] = []string{fmt.Sprintf("session=%032x; consent=1", client)}
		}
		requests = append(requests, r)
		h := http.Header{
			"Date": {at.Format(http.TimeFormat)}, "Content-Type": {kind.mime}, "Cache-Control": {kind.cache}, "Server": {"nginx"},
			"Content-Length": {strconv.Itoa(rng.IntN(200_000))}, "Vary": {"Accept-Encoding"}, "Via": {"1.1 osaka-1 (wherry)"},
			"Cache-Status": {`osaka-1; hit; ttl=` + strconv.Itoa(rng.IntN(3600))}, "Strict-Transport-Security": {"max-age=31536000"},
			"Content-Security-Policy": {"default-src 'self'; img-src 'self' https://images." + host + "; frame-ancestors 'none'"},
			"X-Content-Type-Options":  {"nosniff"},
		}
		if kind.dest == "script" || kind.dest == "image" {
			h["Last-Modified"] = []string{at.Add(-time.Duration(rng.IntN(1e6)) * time.Second).Format(http.TimeFormat)}
			h["Etag"] = []string{fmt.Sprintf(`"%x"`, rng.Uint64())}
		}
		responses = append(responses, h)
	}
	return requests, responses
}

// BenchmarkHeaderBytes tells how many bytes header sections take: as text, with our tables alone, with the dictionary, and with HPACK
// and its dynamic table of 4 KiB, which makes streams wait for each other.
func BenchmarkHeaderBytes(b *testing.B) {
	const n = 2000
	requests, responses := Traffic(n)
	report := func(b *testing.B, request, response int) {
		b.ReportMetric(float64(request)/n, "B/request")
		b.ReportMetric(float64(response)/n, "B/response")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/exchange")
		b.ReportMetric(0, "ns/op")
	}
	b.Run("text", func(b *testing.B) {
		var request, response int
		for b.Loop() {
			request, response = 0, 0
			for i, r := range requests {
				var buf bytes.Buffer
				fmt.Fprintf(&buf, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, r.URL.RequestURI(), r.Host)
				_ = r.Header.Write(&buf)
				request += buf.Len() + 2
				buf.Reset()
				_ = responses[i].Write(&buf)
				response += buf.Len() + len("HTTP/1.1 200 OK\r\n\r\n")
			}
		}
		report(b, request, response)
	})
	for _, dictionary := range []bool{false, true} {
		b.Run(map[bool]string{false: "tables", true: "dictionary"}[dictionary], func(b *testing.B) {
			var request, response int
			for b.Loop() {
				request, response = exchangeHeaders(b, requests, responses, dictionary)
			}
			report(b, request, response)
		})
	}
	b.Run("hpack", func(b *testing.B) {
		var request, response int
		for b.Loop() {
			request, response = hpackHeaders(requests, responses)
		}
		report(b, request, response)
	})
}

// exchangeHeaders carries all sections, with eight exchanges under way at a time.
func exchangeHeaders(b *testing.B, requests []*http.Request, responses []http.Header, dictionary bool) (request, response int) {
	client, server := newLink(), newLink()
	if !dictionary {
		client.dictionary, server.dictionary = nil, nil
	}
	const underWay = 8
	var bases [underWay]uint64
	var answers [underWay][]byte
	var s section
	for i, r := range requests {
		slot := i % underWay
		if frame := answers[slot]; frame != nil {
			if err := client.readResponse(&s, payload(frame), 1<<16); err != nil {
				b.Fatal(err)
			}
			if bases[slot] != 0 {
				client.arrived([]confirmation{{bases[slot], 1}})
			}
		}
		plan, err := planRequest(r)
		if err != nil {
			b.Fatal(err)
		}
		frame, base := client.request(nil, plan, r)
		request += len(frame)
		if err := server.readRequest(&s, payload(frame), 1<<16); err != nil {
			b.Fatal(err)
		}
		answers[slot] = server.response(nil, kindRaw, func(e *encoder) {
			e.add(":status", "200")
			for name, values := range responses[i] {
				e.addValues(name, values)
			}
		})
		bases[slot] = base
		response += len(answers[slot])
	}
	return request, response
}

func payload(frame []byte) []byte {
	_, p, _ := cutInt(frame[1:])
	return p
}

func hpackHeaders(requests []*http.Request, responses []http.Header) (request, response int) {
	const frameHeader = 9
	var buf bytes.Buffer
	up, down := hpack.NewEncoder(&buf), hpack.NewEncoder(&buf)
	upDecoder, downDecoder := hpack.NewDecoder(4096, func(hpack.HeaderField) {}), hpack.NewDecoder(4096, func(hpack.HeaderField) {})
	write := func(e *hpack.Encoder, h http.Header) {
		for name, values := range h {
			for _, v := range values {
				_ = e.WriteField(hpack.HeaderField{Name: lower(name), Value: v, Sensitive: habits[name]&secret != 0})
			}
		}
	}
	for i, r := range requests {
		buf.Reset()
		for _, f := range []hpack.HeaderField{{Name: ":method", Value: r.Method}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: r.Host}, {Name: ":path", Value: r.URL.RequestURI()}} {
			_ = up.WriteField(f)
		}
		write(up, r.Header)
		request += buf.Len() + frameHeader
		_, _ = upDecoder.Write(buf.Bytes())
		buf.Reset()
		_ = down.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
		write(down, responses[i])
		response += buf.Len() + frameHeader
		_, _ = downDecoder.Write(buf.Bytes())
	}
	return request, response
}

// lower is what x/net's encoder is given; it looks names up in a table as well.
func lower(name string) string {
	if l, ok := lowered[name]; ok {
		return l
	}
	l := string(bytes.ToLower([]byte(name)))
	lowered[name] = l
	return l
}

var lowered = map[string]string{}
