package compute

import (
	"cmp"
	"slices"
	"time"

	"github.com/wherry/wherry/vmm/backend"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/linux/file"
	"github.com/wherry/wherry/vmm/snap"
)

const (
	// overhead is what an instance costs beside the pages that it wrote: the machine, its tables, the processor's state.
	overhead = 640 << 10
	// hotMax is how much an instance may have written in one call to be reset; beyond, a new one is cheaper than copying, and has less memory.
	hotMax = 16 << 20
)

// program is what has a name. Host.mu guards it.
type program struct {
	name    string
	current *version // nil once it is removed
	counts  counts   // of versions and instances that are gone, too
}

// version is one deployment of a program. What New sets doesn't change; Host.mu guards the rest.
type version struct {
	program  *program
	spec     Program
	hash     string
	snapshot *snap.Snapshot
	bytes    int64         // of the snapshot
	cost     time.Duration // of a start, CPU time

	instances map[*instance]struct{} // busy ones, too
	ready     []*instance            // the one that was used last is last
	busy      int
	settling  int      // busy ones that have answered and are made ready
	open      int      // instances whose machine isn't closed yet
	use       float64  // requests, of which each sweep forgets a part
	over      bool     // another version is current
	kept      bool     // and is tried instead of this one, which may come back
	instead   *version // that is kept while this one is tried
	settled   bool     // its machine was chosen
	record    record
}

// instance is one machine of a version. Who has made it busy owns machine; Host.mu guards the rest.
type instance struct {
	version *version
	machine *snap.Instance // nil until it is started
	out     outlet         // standard output in a call
	errors  said
	bytes   int64     // charged
	used    time.Time // last
	busy    bool
	seen    linux.Metrics // when it was looked at last
	hot     int64         // bytes that it writes in a call, at most so far

	connection *Connection // whose requests it remembers
	stale      bool        // it remembers those of another one
	conn       *file.Conn  // to its server, that the last call has left
	scratch    []byte      // bytes on their way from the program
}

// remembers reports whether the next request is to find what was left. It is the worker's to ask, once: a connection may close.
func (i *instance) remembers() bool {
	return i.version.spec.Isolation == PerInstance || i.connection != nil
}

// port is what the program listens on, 0 if it reads standard input.
func (v *version) port() int { return cmp.Or(v.spec.Listen, v.snapshot.Port()) }

// emulatorPace is how many times as much CPU time a program has in the emulator, which takes so much longer at most: a program that is within its limit on KVM is
// not to fail where there is none.
const emulatorPace = 10

// pace is by how much a program's CPU time is more than its limit says.
func (v *version) pace() time.Duration {
	if v.snapshot.Kind() == string(backend.Emulator) {
		return emulatorPace
	}
	return 1
}

// value is what keeping an idle instance is worth: CPU time that starts would cost, by how often it is asked, by the byte.
func (v *version) value(bytes int64) float64 {
	return float64(v.cost) * v.use / float64(max(bytes, 1))
}

// can reports whether j's program has or may have an instance for it now.
func (h *Host) can(j *job) bool {
	v := j.program.current
	if v == nil && j.instance == nil {
		return true // to be told so
	}
	if h.workers > 1 && h.queue.held(j.tenant) >= h.workers-1 && h.othersWait(j.tenant) {
		return false
	}
	if j.instance != nil {
		return true
	}
	if v.busy >= v.spec.Limits.Concurrency || v.has(j.connection) {
		return false
	}
	if len(v.ready) == 0 && (v.settling > 0 || len(v.instances) >= h.options.Instances) {
		return false // one that is made ready is there before a new one
	}
	return h.memory-h.idle+v.spec.Memory+overhead <= h.options.Memory
}

// othersWait reports whether somebody else waits, for whom one worker is left.
func (h *Host) othersWait(tenant string) bool {
	t := h.queue.tenants[tenant]
	return t == nil || h.queue.waiting > len(t.jobs)
}

// take makes an instance of v busy: a ready one, or one that is to be started. Those that have to go for it are returned.
func (h *Host) take(v *version, c *Connection) (i *instance, dying []*instance) {
	if i = v.pick(c, len(v.instances) >= h.options.Instances); i != nil {
		h.idle -= i.bytes
		i.stale = i.connection != nil && i.connection != c
	} else {
		i = &instance{version: v}
		v.instances[i] = struct{}{}
		v.open++
	}
	i.busy, i.connection = true, c
	v.busy++
	h.charge(i, v.spec.Memory+overhead)
	return i, h.fit()
}

// leastWorth is the ready instance that is worth least, of one version the one that wasn't used for longest.
func (h *Host) leastWorth() *instance {
	var least *instance
	var worth float64
	for _, p := range h.programs {
		if p.current == nil || len(p.current.ready) == 0 {
			continue
		}
		i := p.current.ready[0]
		if w := p.current.value(i.bytes); least == nil || w < worth {
			least, worth = i, w
		}
	}
	return least
}

// charge sets what i counts for.
func (h *Host) charge(i *instance, bytes int64) {
	h.memory += bytes - i.bytes
	i.bytes = bytes
}

// giveBack ends that i is busy. It is ready for the next one, or it has to go: then the caller buries it.
func (h *Host) giveBack(i *instance, keep bool, dirty int64) (dying []*instance) {
	v := i.version
	i.busy = false
	v.busy--
	i.used = h.options.Now()
	h.charge(i, dirty+overhead)
	if !keep || v.over || h.ended {
		h.retire(i)
		return []*instance{i}
	}
	v.ready = append(v.ready, i)
	h.idle += i.bytes
	return nil
}

// retire takes i, which isn't busy, out of its version. Its machine is still to be closed.
func (h *Host) retire(i *instance) {
	v := i.version
	for at, r := range v.ready {
		if r == i {
			v.ready = append(v.ready[:at], v.ready[at+1:]...)
			h.idle -= i.bytes
			break
		}
	}
	h.charge(i, 0)
	i.look()
	v.program.counts.gone(i.seen)
	delete(v.instances, i)
}

// look counts what i did so far. It isn't busy.
func (i *instance) look() {
	if i.machine != nil {
		i.seen = i.machine.Process().Metrics()
	}
}

// bury closes what was retired, and the snapshots that nobody needs any more. The caller doesn't hold h.mu.
func (h *Host) bury(dying []*instance) {
	for _, i := range dying {
		if i.machine != nil {
			if err := i.machine.Close(); err != nil {
				h.options.Log.Error("a machine can't be closed; its memory is lost until this process ends", "program", i.version.spec.Name, "error", err)
			}
		}
		h.mu.Lock()
		i.version.open--
		h.mu.Unlock()
		h.finish(i.version)
	}
}

// finish lets go of the snapshot of a version that is over and has no instance.
func (h *Host) finish(v *version) {
	if v == nil {
		return
	}
	h.mu.Lock()
	before := v.instead
	if v.over && before != nil {
		v.instead, before.kept = nil, false
	} else {
		before = nil
	}
	done := v.over && !v.kept && v.open == 0 && v.snapshot != nil
	s := v.snapshot
	if done {
		v.snapshot = nil
		h.memory -= v.bytes
	}
	h.mu.Unlock()
	h.finish(before)
	if !done {
		return
	}
	if err := s.Close(); err != nil {
		h.options.Log.Error("a snapshot can't be closed; its memory is lost until this process ends", "program", v.spec.Name, "error", err)
	}
	h.wake()
}

func (h *Host) wake() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changed.Broadcast()
}

// forgetting is the part of a version's use that a sweep keeps: half after a minute.
const forgetting = 0.9885

// sweep lets go of instances that nobody asked for a while, all of a program if nobody asks it: its snapshot stays.
func (h *Host) sweep(now time.Time) {
	h.mu.Lock()
	var dying []*instance
	for _, p := range h.programs {
		v := p.current
		if v == nil {
			continue
		}
		v.use *= forgetting
		for len(v.ready) > 0 && now.Sub(v.ready[0].used) >= h.options.Idle {
			i := v.ready[0]
			h.retire(i)
			dying = append(dying, i)
		}
		for _, i := range slices.Clone(v.ready) {
			if i.connection != nil && !i.connection.open() {
				h.retire(i)
				dying = append(dying, i)
			}
		}
	}
	h.changed.Broadcast()
	h.mu.Unlock()
	h.bury(dying)
}
