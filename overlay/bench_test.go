package overlay

import (
	"context"
	"io"
	"syscall"
	"testing"
	"time"
)

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkBulk is one stream over loopback, both sides in this process: bytes a second, and CPU-seconds a GB of both sides.
func BenchmarkBulk(b *testing.B) {
	client, server := pair(b)
	s, err := client.OpenStream(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	const piece = 256 << 10
	buffer := make([]byte, piece)
	if _, err := s.Write(buffer[:1]); err != nil {
		b.Fatal(err)
	}
	r, err := server.AcceptStream(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	_, _ = r.Read(buffer)
	b.SetBytes(piece)
	b.ReportAllocs()
	before, began := cpu(), time.Now()
	done := make(chan int64)
	go func() {
		n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, make([]byte, piece))
		done <- n
	}()
	for b.Loop() {
		if _, err := s.Write(buffer); err != nil {
			b.Fatal(err)
		}
	}
	_ = s.CloseWrite()
	n := <-done
	b.ReportMetric((cpu()-before).Seconds()/float64(n)*1e9, "cpu-s/GB")
	b.ReportMetric(float64(n)*8/time.Since(began).Seconds()/1e9, "Gbit/s")
	b.Logf("%+v %+v", client.Stats(), client.Paths())
}
