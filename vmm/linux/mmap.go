package linux

import (
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/space"
)

const (
	pageSize = space.PageSize
	pageMask = space.PageMask
	userMin  = space.UserMin
	userEnd  = space.UserEnd
)

// user reports whether [start, start+size) is where programs may live.
func user(start, size uint64) bool { return size <= userEnd && start <= userEnd-size }

func callMmap(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	return p.space.Map(a[0], a[1], a[2], a[3], a[5], func(size uint64) ([]byte, abi.Errno) {
		if a[5] > 1<<62 {
			return nil, abi.EOVERFLOW
		}
		return p.Files.Snapshot(fd(a[4]), int64(a[5]), int(size))
	})
}

func callMunmap(p *Process, _ *Task, a *args) (uint64, abi.Errno) { return p.space.Unmap(a[0], a[1]) }

func callMprotect(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	return p.space.Protect(a[0], a[1], uint32(a[2]))
}
func callBrk(p *Process, _ *Task, a *args) (uint64, abi.Errno) { return p.space.SetBreak(a[0]) }
func callMadvise(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	return p.space.Advise(a[0], a[1], uint64(uint32(a[2])))
}

func callMincore(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	return p.space.Incore(a[0], a[1], a[2])
}

func callMremap(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
	return p.space.Remap(a[0], a[1], a[2], a[3], a[4])
}
