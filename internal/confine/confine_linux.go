package confine

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// namespaces are those that a process has for itself.
const namespaces = unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWPID

// Start starts the command that command makes, in namespaces of its own where that is allowed: Options.Own and Why are what command gets. The calling thread must stay
// until the process has ended, for the process ends with it.
func Start(command func(Options) *exec.Cmd) (*exec.Cmd, error) {
	attributes := &syscall.SysProcAttr{Cloneflags: namespaces}
	if os.Geteuid() != 0 {
		attributes.Cloneflags |= unix.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Geteuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: nobody, HostID: os.Getegid(), Size: 1}}
		attributes.AmbientCaps = []uintptr{unix.CAP_SYS_CHROOT} // until Enter
	}
	attributes.Pdeathsig = syscall.SIGKILL
	cmd := command(Options{Own: true})
	cmd.SysProcAttr = attributes
	err := cmd.Start()
	if err == nil {
		return cmd, nil
	}
	cmd = command(Options{Why: fmt.Sprintf("namespaces are refused (%v)", err)})
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if again := cmd.Start(); again != nil {
		return nil, again
	}
	return cmd, nil
}

// oomScore has the kernel take this process before those of the same size that others depend on.
const oomScore = "500"

// Enter confines this process, and says how. It is called before anything is read that others have written.
func Enter(o Options) (r Report) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(oomScore), 0) // where there is no /proc, it goes as others do
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})              // lowering is always allowed
	outside := error(nil)
	if !o.Own {
		outside = errors.New(o.Why)
	}
	r.add("network", "a namespace of its own, without any", outside)
	r.add("processes", "it sees itself alone", outside)
	r.add("files", "its root is empty", emptyRoot())
	r.user(o)
	r.add("privileges", "none, and it can't gain any", drop())
	n, err := filter()
	r.add("system calls", fmt.Sprintf("%d that computing needs", n), err)
	return r
}

// emptyRoot makes a directory that is removed the root.
func emptyRoot() error {
	dir, err := os.MkdirTemp("", "wherry-monitor-")
	if err != nil {
		return fmt.Errorf("an empty directory can't be made: %w", err)
	}
	if err := os.Chdir(dir); err != nil {
		return errors.Join(err, os.Remove(dir))
	}
	if err := os.Remove(dir); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("the root directory can't be changed: %w; run wherry as root, or allow user namespaces", err)
	}
	return nil
}

// user becomes one without rights.
func (r *Report) user(o Options) {
	if os.Geteuid() != 0 {
		uid := os.Geteuid()
		if o.Own {
			r.add("user", "nobody in a namespace of its own", nil)
			return
		}
		r.add("user", "", fmt.Errorf("it runs as the edge's user %d, for that isn't root", uid))
		return
	}
	uid, gid := cmp.Or(o.UID, nobody), cmp.Or(o.GID, nobody)
	err := syscall.Setgroups(nil)
	if err == nil {
		err = syscall.Setresgid(gid, gid, gid)
	}
	if err == nil {
		err = syscall.Setresuid(uid, uid, uid)
	}
	if err != nil {
		err = fmt.Errorf("it stays root: %w; give the container CAP_SETUID and CAP_SETGID", err)
	}
	r.add("user", fmt.Sprintf("%d:%d", uid, gid), err)
}

// drop gives up what is left of capabilities, and the ways to get any.
func drop() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0)
	if errno == syscall.ENOTSUP { // cgo: this thread's. Root's threads have lost theirs with their user; the one that others keep until then is of no use behind the filter
		_, _, errno = syscall.Syscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0)
	}
	if errno != 0 {
		return fmt.Errorf("capabilities can't be given up: %w", errno)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	// Changing the user has forgotten it.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}
