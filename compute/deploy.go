package compute

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wherry/wherry/vmm/backend"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/linux/file"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/snap"
)

// What a program may use until it waits for its first request.
const (
	bootCPU    = 20 * time.Second // the emulator takes some seconds for a large Go program
	bootWall   = time.Minute
	bootOutput = 1 << 20
)

// Report is what a deployment did.
type Report struct {
	Hash      string        `json:"hash"`
	Unchanged bool          `json:"unchanged"` // it was there already, the same
	Machine   string        `json:"machine"`   // kvm or emulator
	Boot      time.Duration `json:"boot"`      // CPU time from the file to the first read of input
	Start     time.Duration `json:"start"`     // CPU time of an instance's start from the snapshot
	Snapshot  int64         `json:"snapshot"`  // bytes
	Files     int           `json:"files"`     // of its archive
	FileBytes int64         `json:"file_bytes"`
}

// Deploy has p answer under its name, instead of what did. A program that can't be used is refused, with the reason, and nothing changes.
func (h *Host) Deploy(ctx context.Context, p Program) (Report, error) {
	report, err := h.deploy(ctx, p)
	if err != nil {
		return Report{}, fmt.Errorf("deploying program %q: %w", p.Name, err)
	}
	return report, nil
}

func (h *Host) deploy(ctx context.Context, p Program) (Report, error) {
	p, err := p.checked()
	if err != nil {
		return Report{}, err
	}
	hash := p.hash()
	h.deploying.Lock()
	defer h.deploying.Unlock()
	if report, done, err := h.before(p, hash); done || err != nil {
		return report, err
	}
	first, report, err := h.place(ctx, p, hash)
	if err != nil {
		return Report{}, err
	}
	v := first.version
	if err := h.room([]*version{v}); err != nil {
		return Report{}, errors.Join(err, first.machine.Close(), v.snapshot.Close())
	}
	h.install(v, first)
	return report, nil
}

// place is ready on the machine that p begins on.
func (h *Host) place(ctx context.Context, p Program, hash string) (*instance, Report, error) {
	kind, host := h.kind, backend.Find()
	switch {
	case p.Machine == backend.KVM && !host.KVM:
		return nil, Report{}, fmt.Errorf("it is to run on kvm, which this host lacks: %s; or write machine: auto", host.WhyNot)
	case p.decided():
		kind = p.Machine
	case h.exit() >= exitDearest:
		kind = backend.Emulator
	}
	return h.ready(ctx, p, hash, kind)
}

// ready makes a version of p on a kind of machine that nobody asks yet, with its first instance.
func (h *Host) ready(ctx context.Context, p Program, hash string, kind backend.Kind) (first *instance, report Report, err error) {
	s, boot, err := h.boot(ctx, p, kind)
	if err != nil {
		return nil, Report{}, err
	}
	p.Image = nil // the snapshot has what is needed of it
	v := &version{spec: p, hash: hash, snapshot: s, bytes: s.Bytes(), instances: map[*instance]struct{}{}, settled: p.decided()}
	first = &instance{version: v, busy: true}
	start, err := h.start(first)
	if err != nil {
		return nil, Report{}, errors.Join(fmt.Errorf("starting it from its snapshot: %w", err), s.Close())
	}
	v.cost = start
	report = v.unchanged()
	report.Unchanged, report.Boot = false, boot
	return first, report, nil
}

// before reports whether there is nothing to do, or why nothing can be done.
func (h *Host) before(p Program, hash string) (report Report, done bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.programs[p.Name]
	switch {
	case h.ended:
		return Report{}, false, errors.New("the host is closed")
	case old != nil && old.current.hash == hash:
		return old.current.unchanged(), true, nil
	case old == nil && len(h.programs) >= programsMax:
		return Report{}, false, fmt.Errorf("there are %d programs; remove one", programsMax)
	case p.Memory+overhead > h.options.Memory:
		return Report{}, false, fmt.Errorf("it may use %d bytes of memory, all programs together have %d; give it less", p.Memory, h.options.Memory)
	}
	return Report{}, false, nil
}

// unchanged is the report of a deployment that finds v there.
func (v *version) unchanged() Report {
	files, bytes := v.snapshot.Files()
	return Report{Hash: v.hash, Unchanged: true, Machine: v.snapshot.Kind(), Start: v.cost, Snapshot: v.bytes, Files: files, FileBytes: bytes}
}

// boot runs p until it waits for a request, at descriptor 0 or at a port, and takes its snapshot.
func (h *Host) boot(ctx context.Context, p Program, kind backend.Kind) (_ *snap.Snapshot, took time.Duration, err error) {
	program, err := snap.ReadProgram(p.Image, p.Executable)
	if err != nil {
		return nil, 0, err
	}
	memory := phys.New(phys.Options{})
	m, err := machine(kind)(memory)
	if err != nil {
		return nil, 0, errors.Join(err, memory.Close())
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	var words said
	ctx, cancel := context.WithTimeout(ctx, bootWall)
	defer cancel()
	process, err := snap.BootServer(ctx, m, program.ELF, linux.Options{
		Image: program.Files, Args: p.arguments(), Env: p.environment(h.options.Gate != nil), Memory: p.Memory, Stderr: &words,
		Limits: linux.Limits{CPU: bootCPU, Wall: bootWall, Files: file.Limits{Output: bootOutput}},
	}, p.Listen)
	if err != nil {
		if text := words.String(); text != "" {
			err = fmt.Errorf("%w; it said: %q", err, p.hush(text))
		}
		return nil, 0, err
	}
	s, err := snap.Take(m, process)
	return s, process.CPU(), err
}

// room says whether there is memory for the snapshots of all programs, those of next in their places, and for a call of each of next.
func (h *Host) room(next []*version) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	kept := map[string]int64{}
	for name, p := range h.programs {
		kept[name] = p.current.bytes
	}
	var all int64
	for _, v := range next {
		kept[v.spec.Name] = v.bytes
	}
	for _, bytes := range kept {
		all += bytes
	}
	for _, v := range next {
		if all+v.spec.Memory+overhead > h.options.Memory {
			return fmt.Errorf("its snapshot has %d bytes and it may use %d, those of other programs have %d, all together may have %d; remove some, or give more",
				v.bytes, v.spec.Memory, all-v.bytes, h.options.Memory)
		}
	}
	return nil
}

// install makes v current. Calls under way end on the version before.
func (h *Host) install(v *version, first *instance) {
	h.mu.Lock()
	p := h.programs[v.spec.Name]
	if p == nil {
		p = &program{name: v.spec.Name}
		h.programs[p.name] = p
	}
	v.program, v.open, v.busy = p, 1, 1
	v.instances[first] = struct{}{}
	h.memory += v.bytes
	old := p.current
	dying := h.replace(p, v)
	dying = append(dying, h.giveBack(first, true, first.machine.Dirty())...)
	dying = append(dying, h.fit()...)
	h.changed.Broadcast()
	h.mu.Unlock()
	h.bury(dying)
	h.finish(old)
}

// fit lets go of what is idle until all has room.
func (h *Host) fit() (dying []*instance) {
	for h.memory > h.options.Memory {
		least := h.leastWorth()
		if least == nil {
			break // what is busy comes back, and makes room
		}
		least.version.program.counts.evictions++
		h.retire(least)
		dying = append(dying, least)
	}
	return dying
}

// replace ends p's version and has it have next. Idle instances are returned, to be buried before the version is finished; busy ones end when their call does.
func (h *Host) replace(p *program, next *version) (dying []*instance) {
	old := p.current
	p.current = next
	if old == nil {
		return nil
	}
	old.over = true
	for len(old.ready) > 0 {
		i := old.ready[0]
		h.retire(i)
		dying = append(dying, i)
	}
	return dying
}

// Remove ends the program of a name. Calls under way are answered, those that wait are not.
func (h *Host) Remove(name string) error {
	h.deploying.Lock()
	defer h.deploying.Unlock()
	return h.remove(name)
}

func (h *Host) remove(name string) error {
	h.mu.Lock()
	p := h.programs[name]
	if p == nil {
		h.mu.Unlock()
		return fmt.Errorf("removing program %q: there is none of that name", name)
	}
	delete(h.programs, name)
	old := p.current
	dying := h.replace(p, nil)
	h.changed.Broadcast()
	h.mu.Unlock()
	h.bury(dying)
	h.finish(old)
	return nil
}
