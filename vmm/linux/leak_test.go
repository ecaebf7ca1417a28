package linux

import (
	"bytes"
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/file"
)

// More code of guests.
var (
	// hoard makes descriptors for ever, and has no room for more after a while.
	hoard = []byte{
		0xb8, 22, 0, 0, 0, // mov eax, 22: pipe
		0xbf, 0, 0, 0x40, 0, // mov edi, tinyBase
		0x0f, 0x05, // syscall
		0xb8, 32, 0, 0, 0, // mov eax, 32: dup
		0xbf, 1, 0, 0, 0, // mov edi, 1
		0x0f, 0x05, // syscall
		0xeb, 0xe6, // jmp to the beginning
	}
	// rewrite increments a number in its own next instruction until that is 100, which is its status.
	rewrite = []byte{
		0xfe, 0x05, 1, 0, 0, 0, // inc byte [rip+1]
		0xb0, 0, // mov al, 0
		0x3c, 100, // cmp al, 100
		0x75, 0xf4, // jne to the beginning
		0x0f, 0xb6, 0xf8, // movzx edi, al
		0xb8, 60, 0, 0, 0, // mov eax, 60: exit
		0x0f, 0x05, // syscall
	}
	// stray writes where it has nothing.
	stray = []byte{
		0x48, 0xb8, 0, 0, 0, 0, 0xff, 0x7f, 0, 0, // mov rax, 0x7fff00000000
		0x48, 0x89, 0x00, // mov [rax], rax
	}
	// baseless has no stack.
	baseless = []byte{
		0x31, 0xe4, // xor esp, esp
		0x50, // push rax
	}
)

// held is what this process has of its host.
type held struct {
	goroutines, descriptors int
	mapped                  int64 // bytes
}

func holding(t *testing.T) held {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("this host doesn't tell: ", err)
	}
	pages, _, _ := strings.Cut(string(read(t, "/proc/self/statm")), " ")
	n, err := strconv.ParseInt(pages, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return held{runtime.NumGoroutine(), len(entries), n * int64(os.Getpagesize())}
}

// TestHostileProgramsLeaveNothing runs programs that mean harm, each again and again: all end as they must, the host goes on, and has all back.
func TestHostileProgramsLeaveNothing(t *testing.T) {
	const rounds, memory = 4, 256 << 20
	cpu := Limits{CPU: 10 * time.Millisecond}
	hostile := []struct {
		name string
		code []byte
		o    Options
		want Stop
	}{
		{"endless loop", spin, Options{Limits: cpu}, Stop{Kind: LimitPassed, Limit: "cpu"}},
		{"exit storm", storm, Options{Limits: Limits{Files: file.Limits{Output: 300}}}, Stop{Kind: LimitPassed, Limit: "output"}},
		{"memory", touch, Options{Memory: 8 << 20}, Stop{Kind: LimitPassed, Limit: "memory"}},
		{"thread bomb", bomb, Options{Limits: Limits{Tasks: 20, CPU: cpu.CPU}}, Stop{Kind: LimitPassed, Limit: "cpu"}},
		{"descriptors", hoard, Options{Limits: cpu}, Stop{Kind: LimitPassed, Limit: "cpu"}},
		{"its own code", rewrite, Options{}, Stop{Kind: Exited, Status: 100}},
		{"outside", stray, Options{}, Stop{Kind: Killed, Signal: abi.SIGSEGV}},
		{"no stack", baseless, Options{}, Stop{Kind: Killed, Signal: abi.SIGSEGV}},
	}
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			if m, err := open(); err != nil {
				t.Skip(err)
			} else if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			for _, h := range hostile {
				t.Run(h.name, func(t *testing.T) {
					end(t, open, h.code, h.o, h.want) // what is made once is made now
					before := holding(t)
					for range rounds {
						end(t, open, h.code, h.o, h.want)
					}
					after := holding(t)
					if after.goroutines > before.goroutines || after.descriptors > before.descriptors || after.mapped > before.mapped+rounds*memory/2 {
						t.Errorf("held before %+v, after %+v", before, after)
					}
				})
			}
			if r := runGuest(t, machineOf(t, open), buildGo(t, "hello"), Options{}, ""); r.stop.Kind != Exited || r.stop.Status != 0 {
				t.Errorf("an honest program after them: %+v\n%s", r.stop, r.out)
			}
		})
	}
}

func machineOf(t *testing.T, open func() (vmm.Machine, error)) vmm.Machine {
	t.Helper()
	m, err := open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// end runs code on a machine of its own, and wants it to end so.
func end(t *testing.T, open func() (vmm.Machine, error), code []byte, o Options, want Stop) {
	t.Helper()
	m, err := open()
	if err != nil {
		t.Fatal(err)
	}
	o.Stdout = new(bytes.Buffer)
	p, err := Load(m, tiny(code...), o)
	if err != nil {
		t.Fatal(err)
	}
	stop, err := p.Run(context.Background())
	if err != nil || stop.Kind != want.Kind || stop.Limit != want.Limit || stop.Status != want.Status || stop.Signal != want.Signal {
		t.Errorf("%+v %v, want %+v", stop, err, want)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
