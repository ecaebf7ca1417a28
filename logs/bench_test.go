package logs

import (
	"context"
	"io"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func BenchmarkAppendJSON(b *testing.B) {
	r := fullRecord()
	line := r.AppendJSON(nil)
	b.SetBytes(int64(len(line)))
	b.ReportAllocs()
	for b.Loop() {
		line = r.AppendJSON(line[:0])
	}
}

func BenchmarkWrite(b *testing.B) {
	w := NewWriter(io.Discard, Options{Metrics: NewMetrics(prometheus.NewRegistry())})
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	r := fullRecord()
	b.ReportAllocs()
	for b.Loop() {
		w.Write(&r)
	}
	cancel()
	<-done
}

func TestAppendJSONAllocatesNothing(t *testing.T) {
	r := fullRecord()
	line := r.AppendJSON(nil)
	if n := testing.AllocsPerRun(100, func() { line = r.AppendJSON(line[:0]) }); n > 0 {
		t.Errorf("%v allocations a record, want 0", n)
	}
}
