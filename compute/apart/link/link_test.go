//go:build linux

package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/wherry/wherry/compute/apart/wire"
)

// pair are two links of this process, as two processes have them.
func pair(t testing.TB, first, second Options) (a, b *Link) {
	t.Helper()
	ends, files, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	a, b = New(ends, first), New(others(t, files), second)
	var running sync.WaitGroup
	for _, l := range []*Link{a, b} {
		running.Go(func() { _ = l.Run() })
	}
	t.Cleanup(func() {
		a.Close(errors.New("the test is over"))
		b.Close(errors.New("the test is over"))
		running.Wait()
		if err := errors.Join(a.Free(), b.Free()); err != nil {
			t.Error(err)
		}
	})
	return a, b
}

// others has the files at descriptors in a row, as a process that was started with them.
func others(t testing.TB, files []*os.File) *Ends {
	t.Helper()
	const first = 200
	for i, f := range files {
		if err := unix.Dup3(int(f.Fd()), first+i, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	ends, err := Open(first)
	if err != nil {
		t.Fatal(err)
	}
	return ends
}

// echo answers with what it was asked, twice.
func echo(s *Stream) {
	if err := s.SendHead(append(s.Head, s.Head...), nil, false); err != nil {
		return
	}
	if _, err := io.Copy(s, s); err != nil {
		s.Fail(err)
		return
	}
	_ = s.CloseWrite()
}

func TestEitherSideAsks(t *testing.T) {
	a, b := pair(t, Options{Handle: echo}, Options{Handle: echo})
	for _, l := range []*Link{a, b, a} {
		for _, size := range []int{0, 1, wire.PieceMax, Window + 1, 3 << 20} {
			body := bytes.Repeat([]byte("0123456"), size/7+1)[:size]
			s, err := l.Open(t.Context(), []byte("x"), body[:min(size, 7)], size <= 7)
			if err != nil {
				t.Fatal(err)
			}
			var sent sync.WaitGroup
			if size > 7 {
				sent.Go(func() {
					_, err := s.Write(body[7:])
					if err := errors.Join(err, s.CloseWrite()); err != nil {
						t.Error(err)
					}
				})
			}
			if head, err := s.Answer(); err != nil || string(head) != "xx" {
				t.Fatalf("%q, %v", head, err)
			}
			got, err := io.ReadAll(s)
			if err != nil || !bytes.Equal(got, body) {
				t.Errorf("%d bytes: got %d, %v", size, len(got), err)
			}
			sent.Wait()
		}
	}
	if n := len(a.opened) + len(a.asked) + len(b.opened); n > 0 {
		t.Errorf("%d streams are left", n)
	}
}

// A stream that nobody reads fills its window; others go on.
func TestSlowReader(t *testing.T) {
	a, _ := pair(t, Options{}, Options{Handle: func(s *Stream) {
		_ = s.SendHead(nil, nil, false)
		_, _ = s.Write(make([]byte, 10*Window))
	}})
	slow, err := a.Open(t.Context(), nil, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Answer(); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		s, err := a.Open(t.Context(), nil, nil, true)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.CopyN(io.Discard, s, 5*Window); err != nil {
			t.Fatalf("stream %d: %d bytes, %v", i, n, err)
		}
		s.Cancel(context.Canceled)
	}
	slow.mu.Lock()
	defer slow.mu.Unlock()
	if len(slow.in) > Window {
		t.Errorf("%d bytes are held", len(slow.in))
	}
}

// Cancelling ends the handler, with the context of who asked or without.
func TestCancel(t *testing.T) {
	ended := make(chan error, 2)
	a, _ := pair(t, Options{}, Options{Handle: func(s *Stream) {
		_ = s.SendHead(nil, nil, false)
		<-s.Context().Done()
		_, err := s.Read(make([]byte, 1))
		ended <- err
	}})
	ctx, cancel := context.WithCancelCause(t.Context())
	first, err := a.Open(ctx, nil, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	second, err := a.Open(t.Context(), nil, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	why := errors.New("it was told")
	cancel(why)
	if _, err := io.ReadAll(first); !errors.Is(err, why) {
		t.Errorf("who asked reads %v", err)
	}
	second.Cancel(context.Canceled)
	for range 2 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the handler reads %v", err)
		}
	}
	if _, err := first.Write([]byte("x")); !errors.Is(err, why) {
		t.Errorf("who asked writes: %v", err)
	}
}

// An error that a handler has, or none, is the answer; one of who asks is read by the handler.
func TestFailures(t *testing.T) {
	a, _ := pair(t, Options{}, Options{Handle: func(s *Stream) {
		switch string(s.Head) {
		case "fail":
			s.Fail(io.ErrUnexpectedEOF)
		case "read":
			_, err := io.ReadAll(s)
			s.Fail(err)
		}
	}})
	for head, want := range map[string]string{"fail": io.ErrUnexpectedEOF.Error(), "silent": errNoAnswer.Error(), "read": "half"} {
		s, err := a.Open(t.Context(), []byte(head), nil, false)
		if err != nil {
			t.Fatal(err)
		}
		s.Fail(errors.New("half"))
		if _, err := s.Answer(); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", head, err, want)
		}
	}
}

// When a side goes, all streams of the other one end.
func TestTheOtherSideGoes(t *testing.T) {
	a, b := pair(t, Options{}, Options{Handle: func(s *Stream) { <-s.Context().Done() }})
	s, err := a.Open(t.Context(), nil, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	b.Close(errors.New("b ends"))
	if _, err := s.Answer(); err == nil {
		t.Error("it was answered")
	}
	if _, err := a.Open(t.Context(), nil, nil, false); err == nil {
		t.Error("one more was opened")
	}
}

// Told things come in order.
func TestTell(t *testing.T) {
	heard := make(chan string, 3)
	a, _ := pair(t, Options{}, Options{Heard: func(topic uint32, text []byte) { heard <- strings.Repeat(string(text), int(topic)) }})
	for i, text := range []string{"a", "b", "c"} {
		if err := a.Tell(uint32(i+1), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"a", "bb", "ccc"} {
		if got := <-heard; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// FuzzHostile has the other side send any frames while calls are made: they end, and what breaks the rules ends the link.
func FuzzHostile(f *testing.F) {
	frame := func(k wire.Kind, end bool, stream uint64, n uint32, rest string) []byte {
		var b [wire.FrameSize]byte
		wire.Frame{Kind: k, End: end, Stream: stream, N: n}.Put(&b)
		return append([]byte{byte(wire.FrameSize + len(rest))}, append(b[:], rest...)...)
	}
	f.Add(frame(wire.Head, true, 1, 2, "okbody"))
	f.Add(append(frame(wire.Head, false, 1, 0, ""), frame(wire.Data, true, 1, 0, "x")...))
	f.Add(frame(wire.Open, true, 2, 1, "h"))
	f.Add(frame(wire.Credit, false, 1, 1<<20, ""))
	f.Add(frame(wire.Fail, false, 1, 0, "{}"))
	f.Add(frame(wire.Data, false, 99, 0, "x"))
	f.Fuzz(func(t *testing.T, script []byte) {
		ends, files, err := Pair()
		if err != nil {
			t.Fatal(err)
		}
		hostile := others(t, files)
		a := New(ends, Options{Handle: echo})
		done := make(chan error, 1)
		go func() { done <- a.Run() }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s, err := a.Open(ctx, []byte("x"), []byte("body"), false)
		if err != nil {
			t.Fatal(err)
		}
		for len(script) > 0 {
			n := min(int(script[0]), len(script)-1)
			_ = hostile.out.Send(ctx, script[1:1+n])
			script = script[1+n:]
		}
		hostile.out.Close()
		hostile.closePipes()
		if err := <-done; err == nil {
			t.Error("a link ends without a reason")
		}
		if ctx.Err() != nil {
			t.Fatal("it hangs")
		}
		_, _ = s.Answer()
		if got, _ := io.ReadAll(s); len(got) > Window {
			t.Errorf("%d bytes", len(got))
		}
		if err := errors.Join(a.Free(), hostile.unmap()); err != nil {
			t.Error(err)
		}
	})
}

// BenchmarkCall is a small call across, and its answer.
func BenchmarkCall(b *testing.B) {
	answer := bytes.Repeat([]byte("x"), 200)
	l, _ := pair(b, Options{}, Options{Handle: func(s *Stream) { _ = s.SendHead(answer, answer, true) }})
	call := func() {
		s, err := l.Open(context.Background(), answer, nil, true)
		if err == nil {
			_, err = s.Answer()
		}
		if err != nil {
			b.Error(err)
		}
	}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			call()
		}
	})
	b.Run("many", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(12 / runtime.GOMAXPROCS(0))
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				call()
			}
		})
	})
}
