package linux

import (
	"fmt"
	"sync"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/clock"
	"github.com/wherry/wherry/vmm/linux/space"
	"github.com/wherry/wherry/vmm/linux/vdso"
)

// Where the vDSO and its data page are: what mmap maps goes below them.
const (
	vdsoAt   = space.MapTop - vdso.PageSize
	vvarAt   = vdsoAt - vdso.PageSize
	vvarName = "[vvar]"
)

var vdsoObject = sync.OnceValue(vdso.Object)

// mapVDSO maps the vDSO behind its data page, which is shared with us and so never becomes the program's to write.
func (p *Process) mapVDSO() error {
	for _, m := range []struct {
		space.Source
		space.Area
	}{
		{space.Source{Bytes: make([]byte, vdso.PageSize), Name: vvarName}, space.Area{Start: vvarAt, Prot: abi.PROT_READ, Kind: space.Shared}},
		{space.Source{Bytes: vdsoObject(), Name: "[vdso]"}, space.Area{Start: vdsoAt, Prot: abi.PROT_READ | abi.PROT_EXEC}},
	} {
		source, e := p.space.AddSource(m.Source)
		if e == 0 {
			m.Area.End, m.Area.Source = m.Start+vdso.PageSize, source
			e = p.space.Put(m.Area)
		}
		if e != 0 {
			return fmt.Errorf("mapping %s: %w", m.Name, e)
		}
	}
	return nil
}

// counter is what a program reads by RDTSC, as far as it is good for its clock.
func (p *Process) counter(virtual bool) clock.Counter {
	switch {
	case virtual && p.counts:
		return clock.Instructions
	case !virtual && p.machine.Caps().HostCounter:
		return clock.Host
	}
	return clock.Unrelated
}

// showTime has the data page say how the program's time goes on from now while c runs.
func (p *Process) showTime(c *cpu) {
	if page := p.clock.Page(c.counted); page != p.shown {
		p.shown = page
		p.space.Show(vvarName, vvarAt, page.Put)
	}
}

// lookAtTime finds out what the data page says after a Restore.
func (p *Process) lookAtTime() {
	var b [vdso.PageBytes]byte
	_ = p.space.CopyIn(b[:], vvarAt) // without a data page it's as if that said nothing
	p.shown = vdso.Get(b[:])
}
