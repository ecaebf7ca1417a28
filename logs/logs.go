package logs

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"
)

// Options are what a Writer can be told.
type Options struct {
	// BufferBytes is how much may wait to be written; more is dropped.
	// default: 4 MiB
	BufferBytes int
	// Delay is how long the first waiting line waits for others, so that a busy node writes many at once.
	// default: 10ms
	Delay time.Duration
	// Log is told when writing begins to fail and when it works again.
	// default: slog.Default()
	Log     *slog.Logger
	Metrics *Metrics // required
}

// Writer appends records to an io.Writer as JSON lines without keeping the caller waiting.
type Writer struct {
	out     io.Writer
	limit   int
	delay   time.Duration
	log     *slog.Logger
	metrics *Metrics
	wake    chan struct{} // holds one token when Run has something to do
	lines   sync.Pool     // of *[]byte: where a record is encoded before the lock is taken

	mu       sync.Mutex // protects what follows; what waits is lost if the process dies
	waiting  []byte
	records  int // in waiting
	finished bool

	// Owned by Run.
	spare   []byte
	failing bool
	torn    bool // the last write ended inside a line
}

const (
	defaultBufferBytes = 4 << 20
	defaultDelay       = 10 * time.Millisecond
	// drainTime is how long Run may go on writing after its context ended, where out knows deadlines.
	drainTime = 5 * time.Second
)

// NewWriter returns a Writer that appends to out once Run runs.
func NewWriter(out io.Writer, o Options) *Writer {
	w := &Writer{out: out, limit: o.BufferBytes, delay: o.Delay, log: o.Log, metrics: o.Metrics, wake: make(chan struct{}, 1)}
	if w.limit <= 0 {
		w.limit = defaultBufferBytes
	}
	if w.delay <= 0 {
		w.delay = defaultDelay
	}
	if w.log == nil {
		w.log = slog.Default()
	}
	w.lines.New = func() any { return new([]byte) }
	return w
}

// Write takes a record, or drops and counts it when the buffer is full or Run has returned. It never blocks and keeps nothing
// of r.
func (w *Writer) Write(r *Record) {
	line := w.lines.Get().(*[]byte)
	*line = append(r.AppendJSON((*line)[:0]), '\n')
	if !w.enqueue(*line) {
		w.metrics.full.Inc()
	}
	w.lines.Put(line)
}

func (w *Writer) enqueue(line []byte) bool {
	w.mu.Lock()
	if w.finished || len(w.waiting)+len(line) > w.limit {
		w.mu.Unlock()
		return false
	}
	before := len(w.waiting)
	w.waiting = append(w.waiting, line...)
	w.records++
	// Only the first line and the one that fills half the buffer have news for Run.
	wake := before == 0 || before < w.limit/2 && len(w.waiting) >= w.limit/2
	w.mu.Unlock()
	if wake {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	return true
}

// Run writes until ctx ends, then what still waits, and returns nil. It may run once.
func (w *Writer) Run(ctx context.Context) error {
	timer := time.NewTimer(w.delay)
	defer timer.Stop()
	// A pipe whose reader sleeps must not hold up the process, not even in a write that has begun; a file and most other writers
	// don't know deadlines.
	if d, ok := w.out.(interface{ SetWriteDeadline(time.Time) error }); ok {
		defer context.AfterFunc(ctx, func() { _ = d.SetWriteDeadline(time.Now().Add(drainTime)) })()
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-w.wake:
			timer.Reset(w.delay)
			w.gather(ctx, timer)
			w.flush()
		}
	}
	w.mu.Lock()
	w.finished = true
	w.mu.Unlock()
	w.flush()
	return nil
}

// gather waits until lines are worth a write: the delay is over or half the buffer is full.
func (w *Writer) gather(ctx context.Context, timer *time.Timer) {
	for {
		w.mu.Lock()
		enough := len(w.waiting) >= w.limit/2
		w.mu.Unlock()
		if enough {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-w.wake:
		}
	}
}

// flush writes what waits, while Write fills the other buffer.
func (w *Writer) flush() {
	w.mu.Lock()
	batch, records := w.waiting, w.records
	w.waiting, w.records = w.spare[:0], 0
	w.mu.Unlock()
	w.spare = batch
	if records == 0 {
		return
	}
	err := w.writeOut(batch)
	if err != nil {
		w.metrics.failed.Add(float64(records))
	} else {
		w.metrics.records.Add(float64(records))
	}
	if failing := err != nil; failing != w.failing {
		w.failing = failing
		if failing {
			w.log.Error("access log: records are being lost until the file can be written again", "error", err)
		} else {
			w.log.Info("access log: records are being written again")
		}
	}
}

func (w *Writer) writeOut(batch []byte) error {
	if w.torn {
		if _, err := w.out.Write([]byte{'\n'}); err != nil {
			return err
		}
		w.torn = false
	}
	n, err := w.out.Write(batch)
	if n < len(batch) && err == nil {
		err = errors.New("short write")
	}
	if err != nil && n > 0 {
		w.torn = batch[n-1] != '\n'
	}
	return err
}
