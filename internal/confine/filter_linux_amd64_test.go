package confine

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// TestRules runs the filter on calls.
func TestRules(t *testing.T) {
	const pid, other = 7, 8
	const refused, none = unix.SECCOMP_RET_ERRNO | int(unix.EPERM), unix.SECCOMP_RET_ERRNO | int(unix.ENOSYS)
	vm, err := bpf.NewVM(rules(pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		arch   uint32
		number uint32
		args   [6]uint32
		want   int
	}{
		{"read", unix.AUDIT_ARCH_X86_64, unix.SYS_READ, [6]uint32{}, unix.SECCOMP_RET_ALLOW},
		{"the last of the list", unix.AUDIT_ARCH_X86_64, unix.SYS_EXIT_GROUP, [6]uint32{}, unix.SECCOMP_RET_ALLOW},
		{"open", unix.AUDIT_ARCH_X86_64, unix.SYS_OPENAT, [6]uint32{}, refused},
		{"execve", unix.AUDIT_ARCH_X86_64, unix.SYS_EXECVE, [6]uint32{}, refused},
		{"of i386", unix.AUDIT_ARCH_I386, unix.SYS_READ, [6]uint32{}, unix.SECCOMP_RET_KILL_PROCESS},
		{"of x32", unix.AUDIT_ARCH_X86_64, 1<<30 | unix.SYS_READ, [6]uint32{}, refused},
		{"a signal to itself", unix.AUDIT_ARCH_X86_64, unix.SYS_TGKILL, [6]uint32{pid}, unix.SECCOMP_RET_ALLOW},
		{"a signal to another", unix.AUDIT_ARCH_X86_64, unix.SYS_TGKILL, [6]uint32{other}, refused},
		{"memory to write", unix.AUDIT_ARCH_X86_64, unix.SYS_MMAP, [6]uint32{2: unix.PROT_READ | unix.PROT_WRITE}, unix.SECCOMP_RET_ALLOW},
		{"memory to execute", unix.AUDIT_ARCH_X86_64, unix.SYS_MMAP, [6]uint32{2: unix.PROT_READ | unix.PROT_EXEC}, unix.SECCOMP_RET_ALLOW},
		{"memory for both", unix.AUDIT_ARCH_X86_64, unix.SYS_MMAP, [6]uint32{2: unix.PROT_WRITE | unix.PROT_EXEC}, refused},
		{"that becomes executable", unix.AUDIT_ARCH_X86_64, unix.SYS_MPROTECT, [6]uint32{2: unix.PROT_EXEC}, refused},
		{"a thread", unix.AUDIT_ARCH_X86_64, unix.SYS_CLONE, [6]uint32{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_FILES}, unix.SECCOMP_RET_ALLOW},
		{"a process", unix.AUDIT_ARCH_X86_64, unix.SYS_CLONE, [6]uint32{uint32(unix.SIGCHLD)}, refused},
		{"clone3", unix.AUDIT_ARCH_X86_64, unix.SYS_CLONE3, [6]uint32{}, none},
		{"KVM_RUN", unix.AUDIT_ARCH_X86_64, unix.SYS_IOCTL, [6]uint32{1: 0xae80}, unix.SECCOMP_RET_ALLOW},
		{"TIOCSTI", unix.AUDIT_ARCH_X86_64, unix.SYS_IOCTL, [6]uint32{1: unix.TIOCSTI}, refused},
		{"F_SETFL", unix.AUDIT_ARCH_X86_64, unix.SYS_FCNTL, [6]uint32{1: unix.F_SETFL}, refused},
	} {
		// The virtual machine reads numbers in network order.
		data := make([]byte, 64)
		binary.BigEndian.PutUint32(data[atNumber:], c.number)
		binary.BigEndian.PutUint32(data[atArch:], c.arch)
		for i, a := range c.args {
			binary.BigEndian.PutUint32(data[atArgs+8*i:], a)
		}
		if got, err := vm.Run(data); err != nil || uint32(got) != uint32(c.want) {
			t.Errorf("%s: %#x, %v, want %#x", c.name, got, err, c.want)
		}
	}
}

func TestReport(t *testing.T) {
	var r Report
	if r.Whole() {
		t.Error("nothing was done, and all is")
	}
	r.add("files", "its root is empty", nil)
	if !r.Whole() || r.String() != "files: its root is empty" {
		t.Errorf("%s", r)
	}
	r.add("network", "none", errors.New("refused"))
	if r.Whole() || r.String() != "files: its root is empty; network: NOT confined, refused" {
		t.Errorf("%s", r)
	}
}
