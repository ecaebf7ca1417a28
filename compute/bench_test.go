package compute

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry/wherry/vmm/backend"
	"github.com/wherry/wherry/vmm/linux"
)

// BenchmarkRequest compares a request through RoundTripper with the call and the reset alone that it is made of, on the same machine, in CPU time of the process.
func BenchmarkRequest(b *testing.B) {
	for _, kind := range []backend.Kind{backend.KVM, backend.Emulator} {
		if host := backend.Find(); kind == backend.KVM && !host.KVM {
			continue
		}
		b.Run(string(kind)+"/RoundTripper", func(b *testing.B) { benchmarkRoundTripper(b, kind) })
		b.Run(string(kind)+"/Call", func(b *testing.B) { benchmarkCall(b, kind) })
	}
}

func benchmarkRoundTripper(b *testing.B, kind backend.Kind) {
	h := running(b, Options{Machine: kind})
	deploy(b, h, guest(b))
	program := h.RoundTripper("guest")
	r := httptest.NewRequest(http.MethodGet, "http://shop.example/count", nil)
	before := processTime(b)
	b.ReportAllocs()
	for b.Loop() {
		response, err := program.RoundTrip(r)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((processTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(quiet(h)["guest"].ColdStarts), "cold-starts")
}

func benchmarkCall(b *testing.B, kind backend.Kind) {
	h := running(b, Options{Machine: kind})
	p, err := guest(b).checked()
	if err != nil {
		b.Fatal(err)
	}
	s, _, err := h.boot(context.Background(), p, kind)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	i, err := s.Start(machine(kind), linux.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer i.Close()
	input := []byte("GET /count HTTP/1.1\r\nHost: shop.example\r\n\r\n")
	before := processTime(b)
	b.ReportAllocs()
	for b.Loop() {
		if c, err := i.Call(context.Background(), input); err != nil || !c.Answered() {
			b.Fatal(c.Stop, err)
		}
		if _, err := i.Reset(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((processTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
}

// processTime is the CPU time of all of the process's threads.
func processTime(b *testing.B) time.Duration {
	b.Helper()
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// BenchmarkServer compares a request to a net/http server that listens with one to the same handler on standard input, in one run, in CPU time of the process.
func BenchmarkServer(b *testing.B) {
	for _, kind := range []backend.Kind{backend.KVM, backend.Emulator} {
		if host := backend.Find(); kind == backend.KVM && !host.KVM {
			continue
		}
		for _, way := range []string{"listens", "reads"} {
			b.Run(string(kind)+"/"+way, func(b *testing.B) { benchmarkServer(b, kind, way) })
		}
	}
}

func benchmarkServer(b *testing.B, kind backend.Kind, way string) {
	h := running(b, Options{Machine: kind})
	p := server(b, PerRequest)
	if way == "reads" {
		p.Env = append(p.Env, "STDIN=1")
	}
	deploy(b, h, p)
	program := h.RoundTripper("server")
	r := httptest.NewRequest(http.MethodGet, "http://shop.example/count", nil)
	before := processTime(b)
	b.ReportAllocs()
	for b.Loop() {
		response, err := program.RoundTrip(r)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((processTime(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	m := quiet(h)["server"]
	b.ReportMetric(float64(m.DirtyPages)/float64(max(m.Resets, 1)), "dirty-pages")
	b.ReportMetric(float64(m.Exits["system call"])/float64(b.N), "calls")
}
