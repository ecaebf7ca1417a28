package linux

import (
	"math"
	"time"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/signals"
	"github.com/wherry/wherry/vmm/linux/space"
)

var systemCalls = map[abi.Call]call{
	abi.SYS_SYSINFO:   {callSysinfo, "x"},
	abi.SYS_GETRANDOM: {callGetrandom, "xdx"},
	abi.SYS_PRLIMIT64: {callPrlimit, "ddxx"},
	abi.SYS_GETRLIMIT: {callGetrlimit, "dx"},
	abi.SYS_GETRUSAGE: {callGetrusage, "dx"},
}

func callSysinfo(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	var b [abi.SysinfoSize]byte
	s := abi.Sysinfo{
		Uptime: p.clock.Monotonic / int64(time.Second), Totalram: uint64(p.options.Memory), Freeram: uint64(p.space.Left()) * pageSize,
		Procs: uint16(min(len(p.tasks), math.MaxUint16)),
	}
	s.Put(b[:])
	return 0, p.space.CopyOut(a[0], b[:])
}

// randomMax bounds what one getrandom gives; it may give less than it was asked for.
const randomMax = 64 << 10

func callGetrandom(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	if a[2]&^(abi.GRND_NONBLOCK|abi.GRND_RANDOM|abi.GRND_INSECURE) != 0 {
		return 0, abi.EINVAL
	}
	n := min(a[1], randomMax)
	b := p.buffer(n)
	p.random.fill(b)
	return n, p.space.CopyOut(a[0], b)
}

func (p *Process) rlimit(resource uint64) (abi.Rlimit, abi.Errno) {
	all := abi.Rlimit{Cur: abi.RLIM_INFINITY, Max: abi.RLIM_INFINITY}
	same := func(n uint64) abi.Rlimit { return abi.Rlimit{Cur: n, Max: n} }
	switch resource {
	case abi.RLIMIT_STACK:
		return abi.Rlimit{Cur: space.StackSize, Max: abi.RLIM_INFINITY}, 0
	case abi.RLIMIT_NOFILE:
		n := p.options.Limits.Files.Descriptors
		if n == 0 {
			n = defaultDescriptors
		}
		return same(uint64(n)), 0
	case abi.RLIMIT_NPROC:
		return same(uint64(p.options.Limits.Tasks)), 0
	case abi.RLIMIT_SIGPENDING:
		return same(signals.Max), 0
	case abi.RLIMIT_CORE, abi.RLIMIT_NICE, abi.RLIMIT_RTPRIO:
		return abi.Rlimit{}, 0
	}
	if resource > abi.RLIMIT_RTTIME {
		return all, abi.EINVAL
	}
	return all, 0
}

// defaultDescriptors is what vmm/linux/file has when it's told nothing.
const defaultDescriptors = 1024

func callGetrlimit(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	return 0, p.putRlimit(a[0], a[1])
}

func (p *Process) putRlimit(resource, at uint64) abi.Errno {
	l, e := p.rlimit(resource)
	if e != 0 || at == 0 {
		return e
	}
	var b [abi.RlimitSize]byte
	l.Put(b[:])
	return p.space.CopyOut(at, b[:])
}

// callPrlimit tells limits. Setting them does nothing: they are the caller's of Load.
func callPrlimit(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	if pid := int32(a[0]); pid != 0 && pid != firstID {
		return 0, abi.ESRCH
	}
	if a[2] != 0 {
		var b [abi.RlimitSize]byte
		if e := p.space.CopyIn(b[:], a[2]); e != 0 {
			return 0, e
		}
	}
	return 0, p.putRlimit(a[1], a[3])
}

func callGetrusage(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	p.look()
	u := abi.Rusage{Utime: p.cpuTime, Maxrss: int64(p.space.Pages()) * pageSize >> 10, Minflt: int64(p.space.Faults())}
	switch int32(a[0]) {
	case abi.RUSAGE_THREAD:
		u.Utime = t.CPU
	case abi.RUSAGE_CHILDREN:
		u = abi.Rusage{}
	case abi.RUSAGE_SELF:
	default:
		return 0, abi.EINVAL
	}
	var b [abi.RusageSize]byte
	u.Put(b[:])
	return 0, p.space.CopyOut(a[1], b[:])
}

func callTimes(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	const tick = int64(time.Second / 100)
	if a[0] != 0 {
		var b [32]byte
		p.look()
		le.PutUint64(b[:], uint64(p.cpuTime/tick))
		if e := p.space.CopyOut(a[0], b[:]); e != 0 {
			return 0, e
		}
	}
	return uint64(p.clock.Monotonic / tick), 0
}

func callSchedYield(p *Process, _ *Task, _ *args) (uint64, abi.Errno) {
	p.left = 0
	return 0, 0
}

func callPrctl(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	switch a[0] {
	case abi.PR_SET_NAME:
		var name [16]byte
		s, e := p.space.Text(a[1], 1<<10)
		if e != 0 && e != abi.ENAMETOOLONG {
			return 0, e
		}
		copy(name[:len(name)-1], s)
		t.Name = name
	case abi.PR_GET_NAME:
		return 0, p.space.CopyOut(a[1], t.Name[:])
	case abi.PR_GET_DUMPABLE, abi.PR_GET_NO_NEW_PRIVS:
		return 1, 0
	case abi.PR_SET_DUMPABLE, abi.PR_SET_PDEATHSIG, abi.PR_SET_NO_NEW_PRIVS:
	case abi.PR_SET_VMA:
		return 0, abi.EINVAL // names of anonymous memory aren't kept, as without CONFIG_ANON_VMA_NAME
	default:
		return 0, abi.EINVAL
	}
	return 0, 0
}
