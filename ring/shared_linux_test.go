package ring_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/wherry/wherry/ring"
)

// The header's bytes as doc.go draws them, for those who have only the drawing.
const (
	atCapacity, atSenders, atIn, atReceivers, atOut, atRecords = 8, 64, 128, 256, 320, 448
)

// childMode names what the test's program does when it is the other process.
const childMode = "WHERRY_RING_CHILD"

func TestMain(m *testing.M) {
	mode := os.Getenv(childMode)
	if mode == "" {
		os.Exit(m.Run())
	}
	memory, err := syscall.Mmap(3, 0, 1<<16, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err == nil {
		err = child(mode, memory)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func child(mode string, memory []byte) error {
	if mode == "scribble" {
		words := unsafe.Slice((*uint32)(unsafe.Pointer(&memory[0])), len(memory)/4)
		for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); {
			for range 1000 {
				atomic.StoreUint32(&words[rand.IntN(len(words))], rand.Uint32()>>rand.IntN(32))
				atomic.StoreUint32(&words[atIn/4], rand.Uint32N(1<<12)&^7) // often plausible
			}
		}
		return nil
	}
	s, err := ring.JoinSender(memory, ring.Futex{})
	if err != nil {
		return err
	}
	for i := range childRecords {
		if err := s.Send(context.Background(), record(i)); err != nil {
			return err
		}
	}
	return nil
}

const childRecords = 3000

func record(i int) []byte { return bytes.Repeat([]byte{byte(i)}, i%700) }

// mapped is memory of this process and of those started with it.
func mapped(t *testing.T) ([]byte, *os.File) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "ring"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(1 << 16); err != nil {
		t.Fatal(err)
	}
	memory, err := syscall.Mmap(int(f.Fd()), 0, 1<<16, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(memory) })
	if err := ring.Format(memory); err != nil {
		t.Fatal(err)
	}
	return memory, f
}

func start(t *testing.T, mode string, f *os.File) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childMode+"="+mode)
	cmd.ExtraFiles = []*os.File{f}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// TestBetweenProcesses has two processes that send as one side, with their lock in the ring, to this one.
func TestBetweenProcesses(t *testing.T) {
	memory, f := mapped(t)
	r, err := ring.JoinReceiver(memory, ring.Futex{})
	if err != nil {
		t.Fatal(err)
	}
	children := []*exec.Cmd{start(t, "send", f), start(t, "send", f)}
	counts := map[int]int{}
	var buffer []byte
	for range len(children) * childRecords {
		buffer, err = r.Receive(t.Context(), buffer, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(buffer) > 0 && !bytes.Equal(buffer, bytes.Repeat(buffer[:1], len(buffer))) {
			t.Fatal("a record of two senders")
		}
		counts[len(buffer)]++
	}
	for _, c := range children {
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	for i := range childRecords {
		counts[i%700] -= len(children)
	}
	for length, n := range counts {
		if n != 0 {
			t.Errorf("%+d records of %d bytes", n, length)
		}
	}
}

// TestHostileProcess has a process write anything anywhere while this one sends and receives: calls fail or give bytes, and end.
func TestHostileProcess(t *testing.T) {
	memory, f := mapped(t)
	hostile := start(t, "scribble", f)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var bell ring.Parking
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				limited, done := context.WithTimeout(ctx, time.Millisecond)
				if r, err := ring.NewReceiver(memory, &bell); err == nil {
					got, err := r.Receive(limited, nil, 256)
					if len(got) > 256 {
						t.Errorf("%d bytes, %v", len(got), err)
					}
				}
				if s, err := ring.NewSender(memory, &bell); err == nil {
					_ = s.Send(limited, make([]byte, 300))
				}
				done()
			}
		})
	}
	if err := hostile.Wait(); err != nil {
		t.Error(err)
	}
	cancel()
	wg.Wait()
}

func TestRecordsGoRound(t *testing.T) {
	memory := aligned(atRecords + 64)
	if err := ring.Format(memory); err != nil {
		t.Fatal(err)
	}
	var bell ring.Parking
	s, err := ring.NewSender(memory, &bell)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ring.NewReceiver(memory, &bell)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		want := bytes.Repeat([]byte{byte(i)}, i%57)
		if err := s.Send(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if in := memory[atIn]; i == 2 && in != 8+16+16 {
			t.Fatalf("in is %d after records of 0, 1 and 2 bytes", in)
		}
		got, err := r.Receive(t.Context(), nil, 64)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("record %d: %v, %v", i, got, err)
		}
	}
	if err := s.Send(t.Context(), make([]byte, 57)); !errors.Is(err, ring.ErrTooLarge) {
		t.Errorf("a record that never fits: %v", err)
	}
	r.Close()
	if err := s.Send(t.Context(), nil); !errors.Is(err, ring.ErrClosed) {
		t.Errorf("to a closed receiver: %v", err)
	}
}

// doorbell is what a machine makes of a guest's bell, or a guest of the machine's: the other end is rung, whoever waits there.
type doorbell struct{ other interface{ Ring() } }

func (b *doorbell) Notify(*atomic.Uint32, uint32) { b.other.Ring() }

func TestDoorbellsOfAGuest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := aligned(atRecords + 64)
		if err := ring.Format(memory); err != nil {
			t.Fatal(err)
		}
		var fromGuest, fromHost doorbell
		guest, _ := ring.NewSender(memory, &fromGuest)
		host, _ := ring.NewReceiver(memory, &fromHost)
		fromGuest.other, fromHost.other = host, guest
		const records = 200
		done := make(chan error, 1)
		go func() {
			for i := range records {
				if err := guest.Send(t.Context(), record(i%50)); err != nil {
					done <- err
				}
			}
			guest.Close()
			done <- nil
		}()
		for i := range records {
			got, err := host.Receive(t.Context(), nil, 64)
			if err != nil || !bytes.Equal(got, record(i%50)) {
				t.Fatalf("record %d: %v, %v", i, got, err)
			}
		}
		if _, err := host.Receive(t.Context(), nil, 64); !errors.Is(err, ring.ErrClosed) {
			t.Errorf("after the last: %v", err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestLocksNeverReleasedHarmOnlyTheirSide(t *testing.T) {
	memory := aligned(atRecords + 256)
	if err := ring.Format(memory); err != nil {
		t.Fatal(err)
	}
	memory[atSenders], memory[atReceivers] = 1, 1 // the hostile side holds both, for ever
	var bell ring.Parking
	s, _ := ring.NewSender(memory, &bell)
	r, _ := ring.NewReceiver(memory, &bell)
	if err := s.Send(t.Context(), []byte("through")); err != nil {
		t.Fatal(err)
	}
	if got, err := r.Receive(t.Context(), nil, 99); string(got) != "through" {
		t.Fatalf("%q, %v", got, err)
	}
}

// FuzzHostile lets the script write into the ring between the host's calls. Nothing outside of it changes, and calls end.
func FuzzHostile(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 0})
	f.Add([]byte{2, atIn, 255, 1, 0, 0})
	f.Add([]byte{2, atIn, 16, 3, 0, 200, 1, 0, 0})
	f.Add([]byte{2, atIn, 16, 3, 7, 255, 1, 0, 0})
	f.Add([]byte{0, 0, 9, 2, atOut - 256 + 64, 8, 0, 0, 99, 1, 0, 0})
	f.Add([]byte{2, atCapacity, 255, 4, 0, 0, 1, 0, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		const size = atRecords + 128
		around := aligned(size + 128)
		for i := range around {
			around[i] = 0xa5
		}
		memory := around[64 : 64+size : 64+size]
		clear(memory)
		if err := ring.Format(memory); err != nil {
			t.Fatal(err)
		}
		var bell ring.Parking
		now, cancel := context.WithCancel(t.Context())
		cancel() // nothing waits
		s, errS := ring.NewSender(memory, &bell)
		r, errR := ring.NewReceiver(memory, &bell)
		for ; len(script) >= 3 && errS == nil && errR == nil; script = script[3:] {
			where, value := script[1], script[2]
			switch script[0] % 6 {
			case 0:
				_ = s.Send(now, make([]byte, value))
			case 1:
				if got, err := r.Receive(now, nil, 100); len(got) > 100 {
					t.Fatalf("%d bytes, %v", len(got), err)
				}
			case 2:
				memory[where] = value
			case 3:
				memory[atRecords+int(where)%128] = value
			case 4:
				s, errS = ring.NewSender(memory, &bell)
				r, errR = ring.NewReceiver(memory, &bell)
			case 5:
				memory[atReceivers+int(where)%192] = value
			}
		}
		for i, b := range around {
			if (i < 64 || i >= 64+size) && b != 0xa5 {
				t.Fatalf("byte %d outside of the ring is %#x", i-64, b)
			}
		}
	})
}

func aligned(size int) []byte {
	memory := make([]byte, size+64)
	skip := -uintptr(unsafe.Pointer(&memory[0])) & 63
	return memory[skip : int(skip)+size : int(skip)+size]
}

func TestLayoutIsAsDrawn(t *testing.T) {
	memory := aligned(atRecords + 64)
	if err := ring.Format(memory); err != nil {
		t.Fatal(err)
	}
	s, _ := ring.JoinSender(memory, new(ring.Parking))
	r, _ := ring.JoinReceiver(memory, new(ring.Parking))
	if err := errors.Join(s.Send(t.Context(), []byte("abc")), s.Send(t.Context(), nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Receive(t.Context(), nil, 9); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[int]byte{atCapacity: 64, atSenders: 0, atSenders + 8: 24, atSenders + 16: 64, atIn: 24, atReceivers + 8: 16, atReceivers + 16: 24, atOut: 16, atRecords: 3, atRecords + 8: 'a', atRecords + 16: 0} {
		if memory[at] != want {
			t.Errorf("byte %d is %d, want %d", at, memory[at], want)
		}
	}
}
