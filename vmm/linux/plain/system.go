package plain

import "github.com/wherry/wherry/vmm/linux/abi"

// system is what tells of a machine with one processor and one user.
var system = map[abi.Call]Call{
	abi.SYS_UNAME:             {uname, "x"},
	abi.SYS_GETRESUID:         {getres, "xxx"},
	abi.SYS_GETRESGID:         {getres, "xxx"},
	abi.SYS_MEMBARRIER:        {membarrier, "dxd"},
	abi.SYS_SCHED_GETAFFINITY: {schedGetaffinity, "ddx"},
	abi.SYS_SCHED_GETPARAM:    {schedGetparam, "dx"},
	abi.SYS_GETPRIORITY:       {getpriority, "dd"},
	abi.SYS_GETCPU:            {getcpu, "xx"},
}

func uname(p Process, a *Args) (uint64, abi.Errno) {
	var b [abi.UtsnameSize]byte
	n := abi.Utsname{Sysname: "Linux", Nodename: "wherry", Release: "6.1.0-wherry", Version: "#1", Machine: "x86_64", Domainname: "(none)"}
	n.Put(b[:])
	return 0, p.Space.CopyOut(a[0], b[:])
}

func getres(p Process, a *Args) (uint64, abi.Errno) {
	for _, at := range a[:3] {
		if e := p.Space.PutWord32(at, 0); e != 0 {
			return 0, e
		}
	}
	return 0, 0
}

// schedGetaffinity tells of one processor: tasks run by turns.
func schedGetaffinity(p Process, a *Args) (uint64, abi.Errno) {
	if a[1] < 8 || a[1]&7 != 0 {
		return 0, abi.EINVAL
	}
	var b [8]byte
	b[0] = 1
	return 8, p.Space.CopyOut(a[2], b[:])
}

func schedGetparam(p Process, a *Args) (uint64, abi.Errno) {
	return 0, p.Space.PutWord32(a[1], 0)
}

func getpriority(Process, *Args) (uint64, abi.Errno) { return 20, 0 } // nice 0, as the kernel tells it

func getcpu(p Process, a *Args) (uint64, abi.Errno) {
	for _, at := range a[:2] {
		if at != 0 {
			if e := p.Space.PutWord32(at, 0); e != 0 {
				return 0, e
			}
		}
	}
	return 0, 0
}

// membarrier does nothing: one task runs at a time.
func membarrier(_ Process, a *Args) (uint64, abi.Errno) {
	const query, all = 0, 0x1ff
	if a[0] == query {
		return all, 0
	}
	if a[0]&(a[0]-1) != 0 || a[0] > all {
		return 0, abi.EINVAL
	}
	return 0, 0
}
