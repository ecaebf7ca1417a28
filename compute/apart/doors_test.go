//go:build linux

package apart

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/vmm/backend"
)

// envDoors has a monitor of these tests try doors, or do something else that monitors don't.
const envDoors = "WHERRY_TEST_DOORS"

// door is a way out of the process, which returns nil if it is open.
type door struct {
	name string
	try  func() error
}

func errno(e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

func raw(number uintptr, args ...uintptr) error {
	var a [6]uintptr
	copy(a[:], args)
	_, _, e := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5])
	return errno(e)
}

func opened(fd int, err error) error {
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

var allDoors = []door{
	{"open a file for reading", func() error { return opened(unix.Open("/etc/passwd", unix.O_RDONLY, 0)) }},
	{"open a file for writing", func() error { return opened(unix.Open("/x", unix.O_CREAT|unix.O_WRONLY, 0o600)) }},
	{"open this directory", func() error { return opened(unix.Open(".", unix.O_RDONLY, 0)) }},
	{"a socket", func() error { return opened(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)) }},
	{"a unix socket", func() error { return opened(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)) }},
	{"execve", func() error { return unix.Exec("/proc/self/exe", nil, nil) }},
	{"fork", func() error { return raw(unix.SYS_FORK) }},
	{"clone a process", func() error { return raw(unix.SYS_CLONE, uintptr(unix.SIGCHLD)) }},
	{"ptrace the parent", func() error { return unix.PtraceAttach(os.Getppid()) }},
	{"kill the parent", func() error { return unix.Kill(os.Getppid(), 0) }},
	{"kill everybody", func() error { return unix.Kill(-1, 0) }},
	{"signal another process", func() error { return unix.Tgkill(os.Getpid()+1, os.Getpid()+1, 0) }},
	{"read another's memory", func() error { return raw(unix.SYS_PROCESS_VM_READV, uintptr(os.Getppid())) }},
	{"bpf", func() error { return raw(unix.SYS_BPF) }},
	{"io_uring", func() error { return raw(unix.SYS_IO_URING_SETUP, 1) }},
	{"userfaultfd", func() error { return raw(unix.SYS_USERFAULTFD) }},
	{"perf", func() error { return raw(unix.SYS_PERF_EVENT_OPEN) }},
	{"mount", func() error { return unix.Mount("none", "/", "tmpfs", 0, "") }},
	{"unshare", func() error { return unix.Unshare(unix.CLONE_NEWUSER) }},
	{"chroot", func() error { return unix.Chroot("/") }},
	{"become root", func() error { return raw(unix.SYS_SETUID, 0) }},
	{"memory that is written and executed", func() error {
		_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
		return err
	}},
	{"another filter", func() error { return raw(unix.SYS_SECCOMP, 0, 0, uintptr(unsafe.Pointer(new(int)))) }},
	{"an ioctl of a terminal", func() error { _, err := unix.IoctlGetTermios(0, unix.TCGETS); return err }},
	{"x32", func() error { return raw(0x40000000 + unix.SYS_GETPPID) }},
}

// doors is what a monitor of these tests does once it is confined.
func doors() func(context.Context) {
	switch os.Getenv(envDoors) {
	case "leave":
		fmt.Fprintln(os.Stderr, "it leaves")
		os.Exit(7)
	case "try":
		return func(context.Context) {
			for _, d := range allDoors {
				if err := d.try(); !errors.Is(err, unix.EPERM) {
					fmt.Fprintf(os.Stderr, "%s: %v\n", d.name, err)
				}
			}
			fmt.Fprintln(os.Stderr, "all were tried")
			os.Exit(8)
		}
	}
	return nil
}

// TestDoors tries each way out of the monitor.
func TestDoors(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become others")
	}
	h := running(t, Options{Compute: compute.Options{Machine: backend.Emulator}, Env: []string{envDoors + "=try"}, UID: 12345, GID: 12346})
	_, err := h.Prepare(t.Context(), []compute.Program{guest(t)})
	_, said, _ := strings.Cut(fmt.Sprint(err), "exit status 8; it said: ")
	said, _, _ = strings.Cut(said, "\n\n")
	if strings.TrimSpace(said) != "all were tried" {
		t.Errorf("doors are open: %v", err)
	}
	report := h.Confinement()
	if !report.Whole() || !strings.Contains(report.String(), "user: 12345:12346;") {
		t.Errorf("%s", report)
	}
	t.Log(report)
}

// The monitor sees nobody else, and ends with who started it.
func TestConfinement(t *testing.T) {
	h := running(t, Options{Compute: compute.Options{Machine: backend.Emulator}})
	deploy(t, h, guest(t))
	pid := h.pid(t)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "Uid:\t65534", "Gid:\t65534", "Groups:\t \n"} {
		if os.Getuid() == 0 && !strings.Contains(string(status), want) {
			t.Errorf("no %q in\n%s", want, status)
		}
	}
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/status", pid, task.Name()))
		if err == nil && !strings.Contains(string(status), "Seccomp:\t2") {
			t.Errorf("thread %s has no filter", task.Name())
		}
	}
	if root, err := os.ReadDir(fmt.Sprintf("/proc/%d/root/", pid)); err == nil && len(root) > 0 {
		t.Errorf("its root has %v", root)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
		t.Error("it lives on")
	}
}
