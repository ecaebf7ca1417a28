package network

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/logs"
)

var benchBody = strings.Repeat("x", 199) + "\n"

// benchOrigin answers each request on its connections with the same response; it costs next to nothing itself.
func benchOrigin(b *testing.B) net.Addr {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	response := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nCache-Control: public, max-age=3600\r\nContent-Type: text/plain\r\n"+
		"Etag: \"5e8f-1\"\r\nDate: %s\r\nContent-Length: %d\r\n\r\n%s", time.Now().UTC().Format(http.TimeFormat), len(benchBody), benchBody)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				request := make([]byte, 8<<10) // one arrives in one piece
				for {
					if _, err := c.Read(request); err != nil {
						return
					}
					if _, err := c.Write(response); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr()
}

// BenchmarkMiss measures a miss that is stored, all the way over real sockets, with access log and metrics. What client and origin
// cost is in it; both are as small as they can be.
func BenchmarkMiss(b *testing.B) {
	snapshot := parse(b, "zone: cdn.test\nmemory: {cache: 256MiB}\nsites:\n- {name: shop, hosts: [shop.test], origins: [{url: 'http://"+
		benchOrigin(b).String()+"'}]}\nclusters:\n- {name: lisbon, nodes: [{name: lisbon-1, addresses: [192.0.2.1]}]}\n")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	n, err := New(Options{
		Snapshot: snapshot, Access: logs.NewWriter(io.Discard, logs.Options{Metrics: logs.NewMetrics(registry)}),
		Log: slog.New(slog.DiscardHandler), Registry: registry, Edges: []EdgeDoors{{Node: "lisbon-1", HTTP: l}},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	ready := make(chan struct{})
	running.Go(func() { _ = n.Run(ctx, func() { close(ready) }) })
	<-ready
	defer running.Wait()
	defer stop()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	var request []byte
	response := make([]byte, 8<<10)
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i++
		request = strconv.AppendInt(append(request[:0], "GET /miss/"...), int64(i), 10)
		request = append(request, " HTTP/1.1\r\nHost: shop.test\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"...)
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		size := 0
		for !bytes.HasSuffix(response[:size], []byte(benchBody)) {
			n, err := c.Read(response[size:])
			if err != nil {
				b.Fatalf("%v after %q", err, response[:size])
			}
			size += n
		}
		if !bytes.Contains(response[:size], []byte("; stored")) {
			b.Fatalf("not a miss that was stored: %q", response[:size])
		}
	}
}
