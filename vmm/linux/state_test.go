package linux

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/phys"
)

// snapshot runs a program until it wants input, and returns its state, through bytes, and images of its memory.
func snapshot(t testing.TB, m vmm.Machine, file string) (*State, []*phys.Image) {
	t.Helper()
	return snapshotWith(t, m, file, Options{Memory: 64 << 20})
}

func snapshotWith(t testing.TB, m vmm.Machine, file string, o Options) (*State, []*phys.Image) {
	t.Helper()
	p, err := Load(m, read(t, file), o)
	if err != nil {
		t.Fatal(err)
	}
	if stop, err := p.Run(context.Background()); err != nil || stop.Kind != WantsInput {
		t.Fatalf("%+v %v", stop, err)
	}
	s, err := p.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.CollectDirty(); err != nil {
		t.Fatal(err)
	}
	var images []*phys.Image
	for _, slot := range m.Phys().Slots() {
		i, err := phys.NewImage(slot.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, i)
	}
	b, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var again State
	if err := again.UnmarshalBinary(b); err != nil {
		t.Fatal(err)
	}
	return &again, images
}

// resume starts a process from a snapshot in a machine of its own.
func resume(t testing.TB, m vmm.Machine, s *State, images []*phys.Image, out io.Writer) *Process {
	t.Helper()
	for i, spec := range Slots(s.Memory()) {
		spec.Image = images[i]
		if _, err := m.Phys().Add(spec); err != nil {
			t.Fatal(err)
		}
	}
	p, err := Resume(m, s, Options{Stdout: out, Stderr: out})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// reset takes a process back.
func reset(t testing.TB, p *Process, s *State) {
	t.Helper()
	if err := p.machine.CollectDirty(); err != nil {
		t.Fatal(err)
	}
	p.machine.Phys().Restore()
	if err := p.Restore(s); err != nil {
		t.Fatal(err)
	}
}

func TestEachRequestFindsTheProcessAsItWas(t *testing.T) {
	for name, file := range map[string]string{"go": buildGo(t, "serve"), "musl": buildC(t, "musl-gcc", "serve"), "glibc": buildC(t, "gcc", "serve")} {
		t.Run(name, func(t *testing.T) {
			onAll(t, func(t *testing.T, newMachine func() vmm.Machine) {
				s, images := snapshot(t, newMachine(), file)
				var out bytes.Buffer
				p := resume(t, newMachine(), s, images, &out)
				first := map[string]string{}
				for i := range 40 {
					request := fmt.Sprintf("{\"a\": %d, \"b\": %q}\n", i%3, strings.Repeat("x", i%3*500))
					p.WriteStdin([]byte(request))
					if i%2 == 0 {
						p.WriteStdin([]byte("another\n"))
					}
					if i%5 == 0 {
						p.CloseStdin()
					}
					stop, err := p.Run(context.Background())
					if err != nil || stop.Kind != WantsInput && stop.Kind != Exited {
						t.Fatalf("request %d: %+v %v\n%s", i, stop, err, out.String())
					}
					got := out.String()
					out.Reset()
					key := fmt.Sprint(i%2, request)
					if want, ok := first[key]; ok && want != got || !strings.Contains(got, "\"count\":1,") {
						t.Fatalf("request %d: %q, the first time %q", i, got, want)
					}
					first[key] = got
					reset(t, p, s)
				}
			})
		})
	}
}
