package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink is an io.Writer whose next writes can be made to fail or to wait.
type sink struct {
	mu    sync.Mutex
	got   bytes.Buffer
	calls int
	gate  chan struct{} // when not nil, each write takes one token
	fail  func(p []byte) (n int, err error)
}

func (s *sink) Write(p []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.fail != nil {
		n, err := s.fail(p)
		s.got.Write(p[:n])
		return n, err
	}
	return s.got.Write(p)
}

func (s *sink) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Split(strings.TrimSuffix(s.got.String(), "\n"), "\n")
}

type running struct {
	*Writer
	metrics *Metrics
	stop    func()
}

func start(t *testing.T, out io.Writer, bufferBytes int) *running {
	t.Helper()
	m := NewMetrics(prometheus.NewRegistry())
	w := NewWriter(out, Options{BufferBytes: bufferBytes, Metrics: m, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return &running{w, m, stop}
}

func TestWriterGathersLinesAndDrainsAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sink{}
		w := start(t, out, 0)
		for i := range 50 {
			w.Write(&Record{RequestID: fmt.Sprint(i)})
		}
		time.Sleep(defaultDelay)
		synctest.Wait()
		if got := out.lines(); len(got) != 50 || out.calls != 1 {
			t.Fatalf("%d lines in %d writes after the delay, want 50 in 1", len(got), out.calls)
		}
		w.Write(&Record{RequestID: "last"})
		w.stop()
		got := out.lines()
		if len(got) != 51 || !strings.Contains(got[50], `"request_id":"last"`) {
			t.Fatalf("the record written just before the end is not in the file: %d lines", len(got))
		}
		w.Write(&Record{})
		if n := testutil.ToFloat64(w.metrics.records); n != 51 {
			t.Errorf("wherry_logs_records_total is %v, want 51", n)
		}
		if n := testutil.ToFloat64(w.metrics.full); n != 1 {
			t.Errorf("a record after the end was counted %v times as dropped, want 1", n)
		}
	})
}

func TestWriterDropsInsteadOfBlocking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sink{gate: make(chan struct{})}
		line := len((&Record{}).AppendJSON(nil)) + 1
		w := start(t, out, 4*line)
		w.Write(&Record{})
		time.Sleep(defaultDelay)
		synctest.Wait() // Run now hangs in the write of the first record
		for range 10 {
			w.Write(&Record{})
		}
		if n := testutil.ToFloat64(w.metrics.full); n != 6 {
			t.Errorf("dropped %v of 10 records with room for 4, want 6", n)
		}
		close(out.gate)
		w.stop()
		if got := out.lines(); len(got) != 5 {
			t.Errorf("%d lines were written, want 5", len(got))
		}
	})
}

func TestWriterStartsANewLineAfterATornOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &sink{}
		out.fail = func(p []byte) (int, error) {
			out.fail = nil
			return len(p) / 2, errors.New("disk full")
		}
		w := start(t, out, 0)
		w.Write(&Record{RequestID: "torn"})
		time.Sleep(time.Second)
		w.Write(&Record{RequestID: "whole"})
		w.stop()
		got := out.lines()
		if len(got) != 2 || !strings.HasPrefix(got[1], "{") || !strings.Contains(got[1], "whole") {
			t.Errorf("lines are %q", got)
		}
		if n := testutil.ToFloat64(w.metrics.failed); n != 1 {
			t.Errorf("failed records counted %v, want 1", n)
		}
	})
}

func TestWriterFromManyGoroutines(t *testing.T) {
	out := &sink{}
	w := start(t, out, 0)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 200 {
				w.Write(&Record{Path: "/x"})
			}
		})
	}
	group.Wait()
	w.stop()
	got := out.lines()
	if len(got) != 1600 {
		t.Fatalf("%d lines, want 1600", len(got))
	}
	for _, line := range got {
		decode(t, []byte(line))
	}
}

func TestFileReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	f, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write := func(s string) {
		if _, err := io.WriteString(f, s); err != nil {
			t.Fatal(err)
		}
	}
	write("1\n")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("2\n")
	if err := f.Reopen(); err != nil {
		t.Fatal(err)
	}
	write("3\n")
	// The folder gone: the file that is open stays in use.
	f.path = filepath.Join(path, "no", "such")
	if err := f.Reopen(); err == nil {
		t.Error("reopen in a missing folder succeeded")
	}
	write("4\n")
	for name, want := range map[string]string{path + ".1": "1\n2\n", path: "3\n4\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s has %q (%v), want %q", filepath.Base(name), got, err, want)
		}
	}
}

// TestRunEndsThoughNobodyReads: a pipe whose reader sleeps keeps no process from ending, not even in a write that has begun.
func TestRunEndsThoughNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asleep, pipe := net.Pipe()
		defer asleep.Close()
		w := NewWriter(pipe, Options{Metrics: NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = w.Run(ctx)
		}()
		w.Write(&Record{})
		time.Sleep(time.Minute)
		cancel()
		began := time.Now()
		<-done
		if took := time.Since(began); took > drainTime+time.Second {
			t.Errorf("ended after %s", took)
		}
	})
}
