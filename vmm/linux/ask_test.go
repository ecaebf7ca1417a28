package linux

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux/abi"
)

// askWith is a program that asks once with these arguments, and exits with the low byte of the result.
func askWith(a [6]uint64) []byte {
	return bytes.Replace(exchangeWith(a), []byte{0xb8, 0xa7, 1, 0, 0}, []byte{0xb8, 0xa6, 1, 0, 0}, 1) // mov eax, 422
}

// TestAsk has arguments that are right, wrong and hostile, and an answer of four bytes.
func TestAsk(t *testing.T) {
	const low = uint64(tinyBase)
	status := func(e abi.Errno) int { return int(byte(e.Result())) }
	for name, test := range map[string]struct {
		args   [6]uint64
		closed bool
		heard  string // by the host
		status int
	}{
		"all":                      {[6]uint64{low + 1, 3, low + 0x800, 100}, false, "ELF", 4},
		"as much room":             {[6]uint64{low + 1, 3, low + 0x800, 4}, false, "ELF", 4},
		"less room":                {[6]uint64{low + 1, 3, low + 0x800, 3}, false, "ELF", status(abi.EMSGSIZE)},
		"no room":                  {[6]uint64{low + 1, 3, 8, 0}, false, "ELF", status(abi.EMSGSIZE)},
		"nothing":                  {[6]uint64{low + 1, 0, low + 0x800, 100}, false, "", status(abi.EINVAL)},
		"closed":                   {[6]uint64{low + 1, 3, low + 0x800, 100}, true, "", status(abi.ECONNREFUSED)},
		"out isn't there":          {[6]uint64{8, 3, low + 0x800, 100}, false, "", status(abi.EFAULT)},
		"in isn't there":           {[6]uint64{low + 1, 3, 1 << 63, 100}, false, "ELF", status(abi.EFAULT)},
		"in wraps around":          {[6]uint64{low + 1, 3, ^uint64(0) - 1, 1 << 20}, false, "ELF", status(abi.EFAULT)},
		"a descriptor that isn't":  {[6]uint64{low + 1, 3, low + 0x800, 100, 1000, 0}, false, "", status(abi.EBADF)},
		"one of another kind":      {[6]uint64{low + 1, 3, low + 0x800, 100, 2, 0}, false, "", status(abi.ENOTSOCK)},
		"more came than was asked": {[6]uint64{low + 1, 3, low + 0x800, 100, 2, 1 << 40}, false, "", status(abi.ENOTSOCK)},
	} {
		t.Run(name, func(t *testing.T) {
			onAll(t, func(t *testing.T, newMachine func() vmm.Machine) {
				p, err := Load(newMachine(), tiny(askWith(test.args)...), Options{})
				if err != nil {
					t.Fatal(err)
				}
				p.Files.Gate(!test.closed)
				stop, err := p.Run(context.Background())
				heard := ""
				for err == nil && stop.Kind == Idle {
					c := p.Files.Called()
					if c == nil {
						t.Fatal("it waits for nobody")
					}
					heard += hear(c)
					c.Write([]byte("four"))
					c.Close()
					stop, err = p.Run(context.Background())
				}
				if c := p.Files.Called(); c != nil {
					heard += hear(c)
				}
				if err != nil || stop.Kind != Exited || stop.Status != test.status || heard != test.heard {
					t.Errorf("%s, heard %q: %v; want status %d, %q", stop, heard, err, test.status, test.heard)
				}
			})
		})
	}
}

// hear is what has come.
func hear(c interface {
	Read(b []byte) (int, abi.Errno)
},
) string {
	b := make([]byte, 1000)
	n, _ := c.Read(b)
	return string(b[:n])
}

// TestAskAfterSignals has signals come while the call waits, before and after it was answered in part: made again by the kernel or by the program, the question
// is heard once and the answer is whole.
func TestAskAfterSignals(t *testing.T) {
	for _, mode := range []string{"again", "interrupted"} {
		t.Run(mode, func(t *testing.T) {
			onAll(t, func(t *testing.T, newMachine func() vmm.Machine) {
				var out bytes.Buffer
				p, err := Load(newMachine(), read(t, buildC(t, "gcc", "ask", "-pthread")), Options{Args: []string{"ask", mode}, Stdout: &out, Yield: true})
				if err != nil {
					t.Fatal(err)
				}
				p.Files.Gate(true)
				heard, told := "", 0
				var c interface {
					Read(b []byte) (int, abi.Errno)
					Write(b []byte) (int, abi.Errno)
					Close()
				}
				for {
					stop, err := p.Run(context.Background())
					if err != nil {
						t.Fatal(err)
					}
					if stop.Kind == Exited {
						break
					}
					if stop.Kind != Idle {
						t.Fatalf("%s, heard %d bytes", stop, len(heard))
					}
					if called := p.Files.Called(); called != nil {
						if c != nil {
							t.Fatal("it asks a second time")
						}
						c = called
					}
					b := make([]byte, 100_000)
					if n, _ := c.Read(b); n > 0 {
						heard += string(b[:n])
						continue
					}
					if stop.Wake < time.Minute { // the other thread is about to disturb
						time.Sleep(stop.Wake)
						if len(heard) == 500_000 && told < 2 {
							c.Write([]byte("half"))
							told++
						}
						continue
					}
					c.Write([]byte(strings.Repeat("half", 2-told)))
					told = 2
					c.Close()
				}
				if heard != strings.Repeat("?", 500_000) || out.String() != "signals 5, result 8 halfhalf\n" {
					t.Errorf("heard %d bytes, output %q", len(heard), out.String())
				}
			})
		})
	}
}

// FuzzAsk has arguments of all kinds: Run returns, and what was sent is memory of the program's.
func FuzzAsk(f *testing.F) {
	f.Add(uint64(tinyBase+1), uint64(3), uint64(tinyBase+0x800), uint64(100), uint64(0), uint64(0))
	f.Add(uint64(1)<<63, ^uint64(0), uint64(1)<<47-1, uint64(1)<<63, uint64(1), ^uint64(0))
	f.Add(uint64(tinyBase), uint64(4096), uint64(tinyBase), uint64(4097), uint64(3), uint64(1)<<32)
	f.Fuzz(func(t *testing.T, out, size, in, room, descriptor, got uint64) {
		m, err := backends["emulator"]()
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		o := Options{Memory: 1 << 20, Yield: true}
		o.Limits.Instructions, o.Limits.Files.Buffers = 1000, 1<<16
		p, err := Load(m, tiny(askWith([6]uint64{out, size, in, room, descriptor, got})...), o)
		if err != nil {
			t.Fatal(err)
		}
		p.Files.Gate(true)
		for range 3 {
			if stop, err := p.Run(context.Background()); err != nil {
				t.Error(err)
			} else if stop.Kind != Idle {
				break
			}
			if c := p.Files.Called(); c != nil {
				c.Read(make([]byte, 1000))
				c.Write(make([]byte, 5000))
				c.Close()
			}
		}
	})
}
