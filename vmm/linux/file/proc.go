package file

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/socket"
	"github.com/wherry/wherry/vmm/linux/tree"
)

// system is what programs and their libraries read of /proc and /sys. What isn't here is ENOENT, which all of them take for an answer.
var system = []struct {
	name string
	make func(t *Table) []byte
}{
	{"/proc/self/auxv", func(t *Table) []byte { return call(t.o.Auxv) }},
	{"/proc/self/cmdline", func(t *Table) []byte { return []byte(strings.Join(append(t.o.Args, ""), "\x00")) }},
	{"/proc/self/comm", func(t *Table) []byte { return []byte(t.comm() + "\n") }},
	{"/proc/self/maps", func(t *Table) []byte { return call(t.o.Maps) }},
	{"/proc/self/stat", (*Table).procStat},
	{"/proc/self/statm", (*Table).procStatm},
	{"/proc/self/status", (*Table).procStatus},
	{"/proc/sys/kernel/hostname", text("guest\n")},
	{"/proc/sys/kernel/osrelease", text("6.1.0\n")},
	{"/proc/sys/kernel/ostype", text("Linux\n")},
	{"/proc/sys/kernel/ngroups_max", text("65536\n")},
	{"/proc/sys/kernel/cap_last_cap", text("40\n")},
	{"/proc/sys/net/core/somaxconn", text(strconv.Itoa(socket.BacklogMax) + "\n")}, // Go's net package reads it for listen
	{"/proc/sys/fs/pipe-max-size", text(strconv.Itoa(pipeSizeMax) + "\n")},
	{"/proc/sys/vm/overcommit_memory", text("1\n")}, // glibc's malloc
	{"/proc/sys/vm/max_map_count", text("65530\n")},
	{"/proc/filesystems", text("nodev\ttmpfs\nnodev\tproc\n")},
	{"/proc/meminfo", (*Table).procMeminfo},
	{"/proc/cpuinfo", text("processor\t: 0\nvendor_id\t: unknown\nmodel name\t: guest\ncpu cores\t: 1\n\n")},
	{"/sys/devices/system/cpu/online", text("0\n")}, // glibc's get_nprocs
	{"/sys/devices/system/cpu/possible", text("0\n")},
	{"/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", text("2097152\n")}, // Go's runtime
	{"/sys/kernel/mm/transparent_hugepage/enabled", text("always [madvise] never\n")},
}

// hosts is /etc/hosts where the tree has none: the names of who answers at the gate, for Go's resolver and the C libraries'.
const hosts = "127.0.0.1 localhost\n" + socket.GateAddress + " edge kv\n"

// NewImage reads a tree, and gives it the system's files.
func NewImage(o ImageOptions) (*Image, error) {
	names := make([]string, len(system))
	for i := range system {
		names[i] = system[i].name
	}
	return tree.NewImage(o, names, hosts)
}

func text(s string) func(*Table) []byte { return func(*Table) []byte { return []byte(s) } }

func call(f func() []byte) []byte {
	if f == nil {
		return nil
	}
	return f()
}

// describe is what the link of /proc/self/fd says.
func (t *Table) describe(f *openFile) string {
	var s abi.Stat
	switch o := f.object.(type) {
	case *pipe, *stream:
		o.stat(t, f, &s)
		return fmt.Sprintf("pipe:[%d]", s.Ino)
	case socketFile:
		return fmt.Sprintf("socket:[%d]", o.Ino())
	case *eventfd:
		return "anon_inode:[eventfd]"
	case *timerfd:
		return "anon_inode:[timerfd]"
	case *epoll:
		return "anon_inode:[eventpoll]"
	}
	if f.node.Kind == tree.KindDir {
		if p, e := t.tree.PathOf(f.node); e == 0 {
			return p
		}
	}
	if !f.node.Linked() {
		return f.path + " (deleted)"
	}
	return f.path
}

func (t *Table) comm() string {
	if len(t.o.Args) == 0 {
		return "program"
	}
	name := path.Base(t.o.Args[0])
	return name[:min(len(name), 15)] // TASK_COMM_LEN
}

func (t *Table) status() Status {
	if t.o.Status == nil {
		return Status{Threads: 1}
	}
	return t.o.Status()
}

func (t *Table) procStatus() []byte {
	s := t.status()
	return fmt.Appendf(nil, "Name:\t%s\nUmask:\t%04o\nState:\tR (running)\nTgid:\t%d\nPid:\t%d\nPPid:\t0\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t%d\n"+
		"VmSize:\t%8d kB\nVmRSS:\t%8d kB\nThreads:\t%d\nCpus_allowed:\t1\nCpus_allowed_list:\t0\n",
		t.comm(), t.tree.Umask(), t.o.PID, t.o.PID, len(t.slots.fds), s.Size>>10, s.Resident>>10, s.Threads)
}

func (t *Table) procStat() []byte {
	s := t.status()
	return fmt.Appendf(nil, "%d (%s) R 0 %d %d 0 -1 0 0 0 0 0 0 0 0 0 20 0 %d 0 0 %d %d 18446744073709551615%s\n",
		t.o.PID, t.comm(), t.o.PID, t.o.PID, s.Threads, s.Size, s.Resident/pageSize, strings.Repeat(" 0", 27))
}

func (t *Table) procStatm() []byte {
	s := t.status()
	return fmt.Appendf(nil, "%d %d 0 0 0 0 0\n", s.Size/pageSize, s.Resident/pageSize)
}

func (t *Table) procMeminfo() []byte {
	s := t.status()
	free := max(s.Limit-s.Resident, 0)
	return fmt.Appendf(nil, "MemTotal:       %8d kB\nMemFree:        %8d kB\nMemAvailable:   %8d kB\n", s.Limit>>10, free>>10, free>>10)
}
