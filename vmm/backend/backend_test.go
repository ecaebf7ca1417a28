package backend

import (
	"testing"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/vmmtest"
)

func TestKinds(t *testing.T) {
	for _, bad := range []string{"KVM", "qemu", "kvm "} {
		if _, err := ParseKind(bad); err == nil {
			t.Errorf("%q was taken for a kind", bad)
		}
		if _, err := New(Kind(bad), phys.New(phys.Options{})); err == nil {
			t.Errorf("a machine of kind %q was made", bad)
		}
	}
	h := Find()
	for kind, want := range map[Kind]string{Emulator: "emulator", KVM: "kvm", Auto: string(h.Used), "": string(h.Used)} {
		m, err := New(kind, phys.New(phys.Options{}))
		if kind == KVM && !h.KVM {
			if err == nil || err.Error() != h.WhyNot {
				t.Errorf("kvm where there is none: %v, want %s", err, h.WhyNot)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Caps().Name; got != want {
			t.Errorf("kind %q is the machine %q, want %q", kind, got, want)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	if h.KVM != (h.Details != nil) || h.KVM != (h.WhyNot == "") {
		t.Errorf("%+v contradicts itself", h)
	}
}

// TestAgreement runs random programs on both machines at once.
func TestAgreement(t *testing.T) {
	if h := Find(); !h.KVM {
		t.Skip(h.WhyNot)
	}
	open := func(kind Kind) vmmtest.Open {
		return func(t testing.TB, memory *phys.Memory) vmm.Machine {
			m, err := New(kind, memory)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
	}
	vmmtest.Differ(t, open(KVM), open(Emulator))
}
