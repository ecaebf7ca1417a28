package confine

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// calls are what Go's runtime, the machines and a link need, those first that come most often.
var calls = []uint32{
	unix.SYS_FUTEX, unix.SYS_READ, unix.SYS_WRITE, unix.SYS_EPOLL_PWAIT, unix.SYS_CLOCK_GETTIME, unix.SYS_TIMER_SETTIME, unix.SYS_MADVISE, unix.SYS_NANOSLEEP,
	unix.SYS_SCHED_YIELD, unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGPROCMASK, unix.SYS_MUNMAP, unix.SYS_CLOSE,
	unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_WAIT, unix.SYS_EPOLL_CREATE1, unix.SYS_EVENTFD2, unix.SYS_RT_SIGACTION, unix.SYS_SIGALTSTACK,
	unix.SYS_CLOCK_NANOSLEEP, unix.SYS_CLOCK_GETRES, unix.SYS_GETTIMEOFDAY, unix.SYS_TIMER_CREATE, unix.SYS_TIMER_DELETE,
	unix.SYS_PREAD64, unix.SYS_PWRITE64, unix.SYS_FSTAT, unix.SYS_MEMFD_CREATE, unix.SYS_FTRUNCATE, unix.SYS_MINCORE,
	unix.SYS_SCHED_GETAFFINITY, unix.SYS_GETRANDOM, unix.SYS_RESTART_SYSCALL, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_BRK,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP,
}

const (
	kvmIO    = 0xae       // the type of KVM's requests, bits 8 to 15 (linux/kvm.h)
	setVMA   = 0x53564d41 // PR_SET_VMA, with which Go names its memory
	writable = unix.PROT_WRITE
	both     = unix.PROT_WRITE | unix.PROT_EXEC
)

// Where struct seccomp_data has what the filter looks at: words of 32 bits (linux/seccomp.h).
const (
	atNumber = 0
	atArch   = 4
	atArgs   = 16
)

// some are calls that are allowed with some arguments alone: with one of values, of the argument's low word and mask.
var some = []struct {
	number uint32
	arg    uint32
	mask   uint32
	values []uint32
}{
	{unix.SYS_MMAP, 2, both, []uint32{0, writable, unix.PROT_EXEC}}, // never both: the emulator maps its code twice
	{unix.SYS_MPROTECT, 2, unix.PROT_EXEC, []uint32{0}},
	{unix.SYS_CLONE, 0, unix.CLONE_THREAD | unix.CLONE_VM, []uint32{unix.CLONE_THREAD | unix.CLONE_VM}},
	{unix.SYS_IOCTL, 1, 0xff00, []uint32{kvmIO << 8}},
	{unix.SYS_FCNTL, 1, 0xffffffff, []uint32{unix.F_GETFL, unix.F_GETFD, unix.F_SETFD, unix.F_DUPFD_CLOEXEC, unix.F_ADD_SEALS, unix.F_GET_SEALS}},
	{unix.SYS_PRCTL, 0, 0xffffffff, []uint32{setVMA}},
}

// filter lets the system calls through that are listed, and returns how many. Those of all threads, also of those that begin later.
func filter() (n int, err error) {
	raw, err := bpf.Assemble(rules(uint32(os.Getpid())))
	if err != nil {
		return 0, fmt.Errorf("the list of system calls: %w", err)
	}
	program := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		program[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	thread, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	switch {
	case errno != 0:
		return 0, fmt.Errorf("the kernel takes no filter (seccomp): %w", errno)
	case thread != 0:
		return 0, fmt.Errorf("thread %d has a filter of its own", thread)
	}
	return len(calls) + len(some) + 1, nil
}

// rules are the filter for a process of a number.
func rules(pid uint32) []bpf.Instruction {
	allow := bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}
	refuse := bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	is := func(n uint32, then ...bpf.Instruction) []bpf.Instruction {
		return append([]bpf.Instruction{bpf.JumpIf{Cond: bpf.JumpEqual, Val: n, SkipFalse: uint8(len(then))}}, then...)
	}
	list := []bpf.Instruction{
		bpf.LoadAbsolute{Off: atArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AUDIT_ARCH_X86_64, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS}, // its numbers mean other calls
		bpf.LoadAbsolute{Off: atNumber, Size: 4},            // those of x32 have bit 30, and are on no list
	}
	for _, n := range calls {
		list = append(list, is(n, allow)...)
	}
	// Signals, with which Go interrupts its threads, go to this process alone.
	list = append(list, is(unix.SYS_TGKILL, append(append([]bpf.Instruction{bpf.LoadAbsolute{Off: atArgs, Size: 4}}, is(pid, allow)...), refuse)...)...)
	for _, s := range some {
		then := []bpf.Instruction{bpf.LoadAbsolute{Off: atArgs + 8*s.arg, Size: 4}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: s.mask}}
		for _, v := range s.values {
			then = append(then, is(v, allow)...)
		}
		list = append(list, is(s.number, append(then, refuse)...)...)
	}
	// Who gets ENOSYS takes clone, whose flags can be looked at.
	list = append(list, is(unix.SYS_CLONE3, bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)})...)
	return append(list, refuse)
}
