package linux

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/emu"
	"github.com/wherry/wherry/vmm/kvm"
	"github.com/wherry/wherry/vmm/linux/trace"
	"github.com/wherry/wherry/vmm/phys"
)

// backends are the machines that every guest test runs on.
var backends = map[string]func() (vmm.Machine, error){
	"emulator": func() (vmm.Machine, error) { return emu.New(phys.New(phys.Options{})), nil },
	"kvm":      func() (vmm.Machine, error) { return kvm.New(phys.New(phys.Options{})) },
}

// onAll runs f on every machine that this host has.
func onAll(t *testing.T, f func(t *testing.T, newMachine func() vmm.Machine)) {
	onEach(t, func(t *testing.T, open func(*testing.T) vmm.Machine) {
		f(t, func() vmm.Machine { return open(t) })
	})
}

// onEach is onAll with machines that are closed when the test ends that opens them.
func onEach(t *testing.T, f func(t *testing.T, open func(*testing.T) vmm.Machine)) {
	for name, make := range backends {
		t.Run(name, func(t *testing.T) {
			if m, err := make(); err != nil { // before f's own subtests, which can't skip this one
				t.Skip(err)
			} else if err := m.Close(); err != nil {
				t.Fatal(err)
			}
			f(t, func(t *testing.T) vmm.Machine {
				m, err := make()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = m.Close() })
				return m
			})
		})
	}
}

var built struct {
	sync.Mutex
	dir   string
	files map[string]string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// build makes a program once, by command with OUTPUT for its file, and returns the file's name.
func build(t testing.TB, key string, env []string, command ...string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if f, ok := built.files[key]; ok {
		return f
	}
	if _, err := exec.LookPath(command[0]); err != nil {
		t.Skipf("no %s here; tools/setup.sh installs it", command[0])
	}
	if built.dir == "" {
		dir, err := os.MkdirTemp("", "guests")
		if err != nil {
			t.Fatal(err)
		}
		built.dir, built.files = dir, map[string]string{}
	}
	out := filepath.Join(built.dir, fmt.Sprintf("guest%d", len(built.files)))
	for i, a := range command {
		command[i] = strings.ReplaceAll(a, "OUTPUT", out)
	}
	c := exec.Command(command[0], command[1:]...)
	c.Env = append(os.Environ(), env...)
	if msg, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", command, err, msg)
	}
	built.files[key] = out
	return out
}

// goStatic is the environment in which go makes static guests.
var goStatic = []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS="}

func buildGo(t testing.TB, name string) string {
	return build(t, "go "+name, goStatic, "go", "build", "-trimpath", "-o", "OUTPUT", "./testdata/"+name)
}

func buildC(t testing.TB, compiler, name string, flags ...string) string {
	return build(t, compiler+" "+name, nil, append([]string{compiler, "-static", "-O2", "-o", "OUTPUT", "testdata/c/" + name + ".c"}, flags...)...)
}

func read(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// result is what a program did.
type result struct {
	stop Stop
	out  string
	p    *Process
}

// runGuest runs a program to its end.
func runGuest(t testing.TB, m vmm.Machine, file string, o Options, stdin string) result {
	t.Helper()
	var out bytes.Buffer
	o.Stdout, o.Stderr = &out, &out
	var r result
	if testing.Verbose() && os.Getenv("WHERRY_TRACE") != "" {
		o.Trace = func(e trace.Event) { fmt.Fprintln(os.Stderr, e) }
	}
	if o.Limits.Wall == 0 {
		o.Limits.Wall = 2 * time.Minute
	}
	p, err := Load(m, read(t, file), o)
	if err != nil {
		t.Fatal(err)
	}
	rest := stdin
	for {
		rest = rest[p.WriteStdin([]byte(rest)):]
		if rest == "" {
			p.CloseStdin()
		}
		r.stop, err = p.Run(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if r.stop.Kind != WantsInput || rest == "" {
			break
		}
	}
	r.out, r.p = out.String(), p
	return r
}

// native runs the same program on this host.
func native(t testing.TB, file string, args []string, stdin string) (string, int) {
	t.Helper()
	c := exec.Command(file)
	c.Args = args
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	if err != nil && c.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), c.ProcessState.ExitCode()
}

// same runs a program natively and on every machine, and wants the same output and status.
func same(t *testing.T, file string, args []string, stdin string) {
	t.Helper()
	want, status := native(t, file, args, stdin)
	onAll(t, func(t *testing.T, newMachine func() vmm.Machine) {
		r := runGuest(t, newMachine(), file, Options{Args: args}, stdin)
		if r.stop.Kind != Exited || r.stop.Status != status || r.out != want {
			t.Errorf("stop %+v, output:\n%s\nnatively status %d, output:\n%s", r.stop, r.out, status, want)
		}
		if len(r.p.Metrics().Unknown) > 0 {
			t.Logf("unknown calls: %v", r.p.Metrics().Unknown)
		}
	})
}

func TestGuestsSayHello(t *testing.T) {
	t.Run("go", func(t *testing.T) { same(t, buildGo(t, "hello"), []string{"hello", "you"}, "") })
	t.Run("musl", func(t *testing.T) { same(t, buildC(t, "musl-gcc", "hello"), []string{"hello", "you"}, "") })
	t.Run("glibc", func(t *testing.T) { same(t, buildC(t, "gcc", "hello"), []string{"hello", "you"}, "") })
}
