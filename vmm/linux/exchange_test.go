package linux

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux/abi"
)

// exchangeWith is a program that exchanges once with these arguments, and exits with the low byte of the result.
func exchangeWith(a [6]uint64) []byte {
	var code []byte
	load := func(opcode []byte, v uint64) { code = le.AppendUint64(append(code, opcode...), v) }
	for i, register := range [][]byte{{0x48, 0xbf}, {0x48, 0xbe}, {0x48, 0xba}, {0x49, 0xba}, {0x49, 0xb8}, {0x49, 0xb9}} { // mov rdi, rsi, rdx, r10, r8, r9
		load(register, a[i])
	}
	code = append(code, 0xb8, 0xa7, 1, 0, 0, 0x0f, 0x05) // mov eax, 423; syscall
	return append(code, 0x89, 0xc7, 0xb8, 231, 0, 0, 0, 0x0f, 0x05)
}

// TestExchange has arguments that are right, wrong and hostile: what is said is said, and an error is the program's alone.
func TestExchange(t *testing.T) {
	const low, high = uint64(tinyBase), uint64(tinyBase + 4096)
	status := func(e abi.Errno) int { return int(byte(e.Result())) }
	for name, test := range map[string]struct {
		args     [6]uint64
		out, log string
		status   int
	}{
		"nothing":              {[6]uint64{}, "", "", 0},
		"probe":                {[6]uint64{1 << 63, 0, ^uint64(0), 0, 7, 0}, "", "", 0},
		"all":                  {[6]uint64{low + 1, 3, low + 0x800, 100, low + 1, 2}, "ELF", "EL", 5},
		"less room":            {[6]uint64{low + 1, 3, low + 0x800, 2, 0, 0}, "ELF", "", 2},
		"out isn't there":      {[6]uint64{8, 3, low + 0x800, 2, low + 1, 1}, "", "E", status(abi.EFAULT)},
		"log isn't there":      {[6]uint64{low + 1, 3, low + 0x800, 2, 1 << 50, 1}, "", "", status(abi.EFAULT)},
		"in isn't there":       {[6]uint64{low + 1, 3, 1 << 63, 2, 0, 0}, "ELF", "", status(abi.EFAULT)},
		"in wraps around":      {[6]uint64{0, 0, ^uint64(0) - 1, 1 << 20, 0, 0}, "", "", status(abi.EFAULT)},
		"out is half there":    {[6]uint64{high - 1, ^uint64(0), low + 0x800, 2, 0, 0}, "\x00", "", status(abi.EFAULT)},
		"out is above the end": {[6]uint64{^uint64(0), ^uint64(0), low + 0x800, 2, 0, 0}, "", "", status(abi.EFAULT)},
	} {
		t.Run(name, func(t *testing.T) {
			onAll(t, func(t *testing.T, newMachine func() vmm.Machine) {
				var out, log bytes.Buffer
				p, err := Load(newMachine(), tiny(exchangeWith(test.args)...), Options{Stdout: &out, Stderr: &log})
				if err != nil {
					t.Fatal(err)
				}
				p.WriteStdin([]byte("input"))
				stop, err := p.Run(context.Background())
				if err != nil || stop.Kind != Exited || stop.Status != test.status || out.String() != test.out || log.String() != test.log {
					t.Errorf("%s, output %q, log %q: %v; want status %d, %q, %q", stop, out.String(), log.String(), err, test.status, test.out, test.log)
				}
			})
		})
	}
}

// TestExchangeWaits says what it says once, whatever wakes it.
func TestExchangeWaits(t *testing.T) {
	onAll(t, func(t *testing.T, newMachine func() vmm.Machine) {
		var out bytes.Buffer
		p, err := Load(newMachine(), tiny(exchangeWith([6]uint64{tinyBase + 1, 3, tinyBase + 0x800, 100, 0, 0})...), Options{Stdout: &out, Boundary: true})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second asks for nothing
			if stop, err := p.Run(context.Background()); err != nil || stop.Kind != WantsInput || out.String() != "ELF" {
				t.Fatalf("%s, output %q: %v", stop, out.String(), err)
			}
		}
		p.WriteStdin([]byte("four"))
		if stop, err := p.Run(context.Background()); err != nil || stop.Kind != Exited || stop.Status != 4 || out.String() != "ELF" {
			t.Fatalf("%s, output %q: %v", stop, out.String(), err)
		}
	})
}

// TestExchangeAfterSignals has a signal come while the call waits: made again or EINTR, what was said isn't said twice.
func TestExchangeAfterSignals(t *testing.T) {
	for mode, want := range map[string]string{"again": "response\nsignals 1, result 4\n", "interrupted": "response\ninterrupted\nsignals 1, result 4\n"} {
		t.Run(mode, func(t *testing.T) {
			onAll(t, func(t *testing.T, newMachine func() vmm.Machine) {
				var out bytes.Buffer
				p, err := Load(newMachine(), read(t, buildC(t, "gcc", "exchange", "-pthread")), Options{Args: []string{"exchange", mode}, Stdout: &out})
				if err != nil {
					t.Fatal(err)
				}
				for {
					stop, err := p.Run(context.Background())
					switch {
					case err != nil:
						t.Fatal(err)
					case stop.Kind == WantsInput && stop.Wake < time.Minute: // the other thread sleeps
						time.Sleep(stop.Wake)
					case stop.Kind == WantsInput:
						p.WriteStdin([]byte("four"))
					case stop.Kind != Exited || out.String() != want:
						t.Fatalf("%s, output %q, want %q", stop, out.String(), want)
					default:
						return
					}
				}
			})
		})
	}
}

// FuzzExchange has arguments of all kinds: Run returns, and what was said is memory of the program's.
func FuzzExchange(f *testing.F) {
	f.Add(uint64(tinyBase+1), uint64(3), uint64(tinyBase+0x800), uint64(100), uint64(tinyBase+1), uint64(2))
	f.Add(uint64(1)<<63, ^uint64(0), uint64(1)<<47-1, uint64(1)<<63, uint64(tinyBase), ^uint64(0))
	f.Add(uint64(0x7fffffffe000), uint64(1)<<20, uint64(tinyBase), uint64(4097), uint64(0), uint64(1)<<32)
	f.Fuzz(func(t *testing.T, out, size, in, room, log, logSize uint64) {
		m, err := backends["emulator"]()
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		var said bytes.Buffer
		o := Options{Stdout: &said, Stderr: &said, Memory: 1 << 20, Boundary: true}
		o.Limits.Instructions, o.Limits.Files.Output = 1000, 1<<16
		p, err := Load(m, tiny(exchangeWith([6]uint64{out, size, in, room, log, logSize})...), o)
		if err != nil {
			t.Fatal(err)
		}
		p.WriteStdin(make([]byte, 5000))
		if _, err := p.Run(context.Background()); err != nil {
			t.Error(err)
		}
		if said.Len() > 1<<16 {
			t.Errorf("%d bytes were said, over the limit", said.Len())
		}
	})
}
