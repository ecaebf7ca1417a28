package programs

import (
	"cmp"
	"maps"
	"slices"

	"github.com/wherry/wherry/config/programs"
	"github.com/wherry/wherry/portal"
)

// Status is what the programs are and do, by name.
func (s *Set) Status() []portal.Program {
	counts := s.host.Metrics()
	confinement, restarts := s.host.Monitor()
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []portal.Program
	for _, name := range slices.Sorted(maps.Keys(s.deployed)) {
		d, m := s.deployed[name], counts[name]
		p := portal.Program{
			Name: name, Tenant: m.Tenant, Image: programs.ImageHash + d.image, From: d.spec.Image, Machine: cmp.Or(m.Machine, d.report.Machine), Isolation: string(d.spec.Isolation),
			Variables: slices.Sorted(maps.Keys(d.spec.Env)), Secrets: slices.Sorted(maps.Keys(d.spec.Secrets)),
			Limits: portal.ProgramLimits{
				CPU: d.spec.Limits.CPU, Wall: d.spec.Limits.Wall, Memory: d.spec.Memory, Input: d.spec.Limits.Input, Output: d.spec.Limits.Output,
				Concurrency: d.spec.Limits.Concurrency, Subrequests: d.spec.Limits.Subrequests, Idle: d.spec.Limits.Idle,
			},
			Boot: d.report.Boot, Start: d.report.Start, SnapshotBytes: d.report.Snapshot, Files: d.report.Files, FileBytes: d.report.FileBytes,
			Calls: m.Calls, Errors: m.Errors, CPU: m.CPU, Resets: m.Resets, DirtyPages: m.DirtyPages, Faults: m.Faults, Exits: m.Exits,
			ColdStarts: m.ColdStarts, Evictions: m.Evictions, Ready: m.Ready, Busy: m.Busy, MemoryBytes: m.Memory,
			Confinement: confinement, MonitorRestarts: restarts,
		}
		all = append(all, p)
	}
	return all
}
