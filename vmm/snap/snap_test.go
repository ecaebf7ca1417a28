package snap_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/backend"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/linux/file"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/snap"
	"golang.org/x/sys/cpu"
)

// counter is testdata/counter, built.
var counter = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "snap")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "counter")
	cmd := exec.Command("go", "build", "-o", out, "./testdata/counter")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.New(string(text))
	}
	return os.ReadFile(out)
})

// onEach runs f on each back end that there is here, with how it is made.
func onEach(t *testing.T, f func(t *testing.T, make snap.Maker)) {
	for _, kind := range []string{"kvm", "emulator"} {
		t.Run(kind, func(t *testing.T) {
			makeIt := func(m *phys.Memory) (vmm.Machine, error) { return backend.New(backend.Kind(kind), m) }
			m, err := makeIt(phys.New(phys.Options{}))
			if err != nil {
				t.Skip(err)
			}
			if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			f(t, makeIt)
		})
	}
}

var environment = []string{"GOMAXPROCS=1", "GOGC=off"}

func take(t *testing.T, make snap.Maker) *snap.Snapshot {
	t.Helper()
	program, err := counter()
	if err != nil {
		t.Fatal(err)
	}
	m, err := make(phys.New(phys.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	p, err := snap.Boot(t.Context(), m, program, linux.Options{Args: []string{"counter"}, Env: environment, Memory: 128 << 20})
	if err != nil {
		t.Fatal(err)
	}
	s, err := snap.Take(m, p)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	return s
}

func start(t *testing.T, s *snap.Snapshot, make snap.Maker, limits linux.Limits) *snap.Instance {
	t.Helper()
	i, err := s.Start(make, linux.Options{Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

func call(t *testing.T, i *snap.Instance, input string) string {
	t.Helper()
	c, err := i.Call(t.Context(), []byte(input))
	if err != nil {
		t.Fatal(err)
	}
	if !c.Answered() {
		t.Fatalf("%q: the program %s", input, c.Stop)
	}
	return string(c.Output)
}

// withoutRandom is an answer without its last word.
func withoutRandom(answer string) string { return answer[:strings.LastIndex(answer, " ")] }

func reset(t *testing.T, i *snap.Instance) int {
	t.Helper()
	pages, err := i.Reset()
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

// TestResetForgets has two instances of a snapshot answer: after a reset as at first, without one as programs that remember.
func TestResetForgets(t *testing.T) {
	onEach(t, func(t *testing.T, make snap.Maker) {
		s := take(t, make)
		a, b := start(t, s, make, linux.Limits{}), start(t, s, make, linux.Limits{})
		first := call(t, a, "one\n")
		if !strings.HasPrefix(first, "one 1 4 1 1 ") {
			t.Errorf("the first answer is %q", first)
		}
		randoms := map[string]bool{first: true}
		for range 50 {
			if n := reset(t, a); n == 0 {
				t.Error("a call wrote no page")
			}
			got := call(t, a, "one\n")
			if withoutRandom(got) != withoutRandom(first) {
				t.Fatalf("after a reset: %q, at first %q", got, first)
			}
			randoms[got] = true
		}
		if len(randoms) < 50 {
			t.Errorf("51 calls got %d different random words", len(randoms))
		}
		if got := call(t, b, "two\nthree\n"); !strings.Contains(got, "three 2 7 2 2 ") {
			t.Errorf("another instance, not reset: %q", got)
		}
	})
}

// TestResetAfterTheWorst has calls that pass limits or crash, each of which leaves nothing behind.
func TestResetAfterTheWorst(t *testing.T) {
	onEach(t, func(t *testing.T, make snap.Maker) {
		i := start(t, take(t, make), make, linux.Limits{CPU: 300 * time.Millisecond, Files: file.Limits{Output: 20_000}})
		first := call(t, i, "one\n")
		for _, bad := range []struct{ input, want string }{
			{"loop\n", "passed its limit: cpu"}, {"crash\n", "exited with status 2"}, {"babble\n", "passed its limit: output"},
		} {
			reset(t, i)
			c, err := i.Call(t.Context(), []byte(bad.input))
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Stop.String(); got != bad.want {
				t.Errorf("%q: the program %s, want %s", bad.input, got, bad.want)
			}
			reset(t, i)
			if got := call(t, i, "one\n"); withoutRandom(got) != withoutRandom(first) {
				t.Errorf("after %q and a reset: %q, at first %q", bad.input, got, first)
			}
		}
	})
}

func TestFile(t *testing.T) {
	onEach(t, func(t *testing.T, make snap.Maker) {
		s := take(t, make)
		var file bytes.Buffer
		if _, err := s.WriteTo(&file); err != nil {
			t.Fatal(err)
		}
		if !snap.IsSnapshot(file.Bytes()) {
			t.Error("the file isn't told to be a snapshot")
		}
		copied, err := snap.Read(bytes.NewReader(file.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		a, b := start(t, s, make, linux.Limits{}), start(t, copied, make, linux.Limits{})
		if first, second := call(t, a, "one\n"), call(t, b, "one\n"); withoutRandom(first) != withoutRandom(second) {
			t.Errorf("from the file: %q, else %q", second, first)
		}
		for _, at := range []int{0, 7, 8, 20, 1000, file.Len() / 2, file.Len() - 1} {
			damaged := bytes.Clone(file.Bytes())
			damaged[at] ^= 0x40
			if _, err := snap.Read(bytes.NewReader(damaged)); err == nil {
				t.Errorf("byte %d was changed, and nobody said so", at)
			}
			if _, err := snap.Read(bytes.NewReader(damaged[:at])); err == nil {
				t.Errorf("the file ended at byte %d, and nobody said so", at)
			}
		}
	})
}

// halves answers with the upper half of a YMM register, which it then clears.
var halves = append(append([]byte{0x48, 0xb8}, "halves!\n"...),
	0x66, 0x48, 0x0f, 0x6e, 0xc0, // movq xmm0, rax
	0xc4, 0xe2, 0x7d, 0x59, 0xf8, // vpbroadcastq ymm7, xmm0
	0x31, 0xc0, 0x31, 0xff, // xor eax, eax; xor edi, edi: read
	0x48, 0x8d, 0xb4, 0x24, 0x00, 0xff, 0xff, 0xff, // lea rsi, [rsp-256]
	0xba, 8, 0, 0, 0, 0x0f, 0x05, // mov edx, 8; syscall
	0xc4, 0xe3, 0x7d, 0x39, 0xf9, 0x01, // vextracti128 xmm1, ymm7, 1
	0x66, 0x0f, 0xd6, 0x8c, 0x24, 0x00, 0xff, 0xff, 0xff, // movq [rsp-256], xmm1
	0xc5, 0xc5, 0xef, 0xff, // vpxor ymm7, ymm7, ymm7
	0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0, 0xba, 8, 0, 0, 0, 0x0f, 0x05, // write
	0xeb, 0xc7,
)

// TestUpperHalvesAreKept: they are in snapshots, in files of them, and a reset brings them back.
func TestUpperHalvesAreKept(t *testing.T) {
	if !cpu.X86.HasAVX2 {
		t.Skip("KVM has no AVX2 here")
	}
	onEach(t, func(t *testing.T, make snap.Maker) {
		m, err := make(phys.New(phys.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		p, err := snap.Boot(t.Context(), m, tiny(halves), linux.Options{})
		if err != nil {
			t.Fatal(err)
		}
		taken, err := snap.Take(m, p)
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if _, err := taken.WriteTo(&file); err != nil {
			t.Fatal(err)
		}
		copied, err := snap.Read(bytes.NewReader(file.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range []*snap.Snapshot{taken, copied} {
			i := start(t, s, make, linux.Limits{})
			for range 2 {
				if got := call(t, i, "a\n"); got != "halves!\n" {
					t.Errorf("it answers %q", got)
				}
				if got := call(t, i, "b\n"); got != "\x00\x00\x00\x00\x00\x00\x00\x00" {
					t.Errorf("the second answer is %q", got)
				}
				reset(t, i)
			}
		}
	})
}

func TestProgramsThatDontWait(t *testing.T) {
	onEach(t, func(t *testing.T, make snap.Maker) {
		m, err := make(phys.New(phys.Options{}))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		// An ELF file whose code is exit(7).
		_, err = snap.Boot(context.Background(), m, tiny([]byte{0xbf, 7, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05}), linux.Options{})
		var ended *snap.EndedError
		if !errors.As(err, &ended) || ended.Stop.Status != 7 {
			t.Errorf("a program that exits at once: %v", err)
		}
	})
}

// A program that wants processes is told that there are none, and what to write: by fork, and by clone as the C libraries have it.
func TestProgramsThatFork(t *testing.T) {
	exit := []byte{0x0f, 0x05, 0xbf, 1, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05}                                                           // syscall; exit(1)
	for name, call := range map[string][]byte{"fork": {0xb8, 57, 0, 0, 0}, "clone": {0xbf, 17, 0, 0, 0, 0x31, 0xf6, 0xb8, 56, 0, 0, 0}} { // clone(SIGCHLD, 0)
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, make snap.Maker) {
				m, err := make(phys.New(phys.Options{}))
				if err != nil {
					t.Fatal(err)
				}
				defer m.Close()
				_, err = snap.BootServer(t.Context(), m, tiny(append(call, exit...)), linux.Options{}, 0)
				if err == nil || !strings.Contains(err.Error(), "the program exited with status 1, and wanted a process beside itself (fork)") || !strings.Contains(err.Error(), "master_process off;") {
					t.Error(err)
				}
			})
		})
	}
}

// tiny is a static ELF file with code, at 0x400000.
func tiny(code []byte) []byte {
	head := []byte{
		0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 62, 0, 1, 0, 0, 0,
		0x78, 0, 0x40, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0,
		1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0,
		byte(0x78 + len(code)), 0, 0, 0, 0, 0, 0, 0, byte(0x78 + len(code)), 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0,
	}
	return append(head, code...)
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("wherry\x00\x02"))
	f.Add([]byte("wherry\x00\x02\x03kvm\x00\x00\x04\x00\x00\x00abcd\x01"))
	image := archive(f, []byte("\x7fELF"))
	withFiles := binary.LittleEndian.AppendUint32([]byte("wherry\x00\x02\x03kvm\x06\x00/entry"), uint32(len(image)))
	f.Add(append(append(withFiles, image...), "\x04\x00\x00\x00abcd\x01"...))
	f.Fuzz(func(t *testing.T, file []byte) {
		if s, err := snap.Read(bytes.NewReader(file)); err == nil {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}
