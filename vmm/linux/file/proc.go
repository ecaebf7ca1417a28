package file

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/wherry/wherry/vmm/linux/abi"
)

// procDescriptors in special marks the directory whose names are the open descriptors.
const procDescriptors = 1

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
	{"/proc/sys/net/core/somaxconn", text(strconv.Itoa(backlogMax) + "\n")}, // Go's net package reads it for listen
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

func text(s string) func(*Table) []byte { return func(*Table) []byte { return []byte(s) } }

func call(f func() []byte) []byte {
	if f == nil {
		return nil
	}
	return f()
}

// addSystem makes /dev, /proc and /sys, in the place of what the caller's tree has there.
func (m *Image) addSystem(program string) error {
	for i, name := range [...]string{"dev", "proc", "sys"} {
		dir := m.add(m.root, name, &node{kind: nodeDir, fs: [...]uint8{fsDevices, fsProc, fsProc}[i], now: inode{mode: 0o555}})
		if dir == nil {
			return fmt.Errorf("file: the image has more than %d files; leave out what the program doesn't read", imageFilesMax)
		}
	}
	links := [...][2]string{
		{"/dev/fd", "/proc/self/fd"},
		{"/dev/stdin", "/proc/self/fd/0"},
		{"/dev/stdout", "/proc/self/fd/1"},
		{"/dev/stderr", "/proc/self/fd/2"},
		{"/proc/self/exe", program},
		{"/proc/self/root", "/"},
		{"/proc/thread-self", "self"},
	}
	for i := range devices {
		if err := m.put("/dev/"+devices[i].name, &node{kind: nodeDevice, special: i, now: inode{mode: 0o666}}); err != nil {
			return err
		}
	}
	for i := range system {
		if err := m.put(system[i].name, &node{kind: nodeProc, special: i, now: inode{mode: 0o444}}); err != nil {
			return err
		}
	}
	for _, l := range links {
		if err := m.put(l[0], &node{kind: nodeLink, target: l[1], now: inode{mode: 0o777}}); err != nil {
			return err
		}
	}
	return m.put("/proc/self/fd", &node{kind: nodeDir, special: procDescriptors, now: inode{mode: 0o500}})
}

func (m *Image) put(name string, n *node) error {
	dir, err := m.directory(path.Dir(name))
	if err == nil && m.add(dir, path.Base(name), n) == nil {
		err = fmt.Errorf("file: the image has more than %d files; leave out what the program doesn't read", imageFilesMax)
	}
	return err
}

// descriptorLink is the link of /proc/self/fd for a descriptor.
func (t *Table) descriptorLink(fd int) *node {
	return &node{image: true, ino: uint64(fd) + 1<<32, kind: nodeDescriptor, fs: fsProc, special: fd, now: inode{mode: 0o700, nlink: 1}}
}

// describe is what the link of /proc/self/fd says.
func (t *Table) describe(f *openFile) string {
	var s abi.Stat
	switch o := f.object.(type) {
	case *pipe, *stream:
		o.stat(t, f, &s)
		return fmt.Sprintf("pipe:[%d]", s.Ino)
	case *socket:
		return fmt.Sprintf("socket:[%d]", o.ino)
	case *eventfd:
		return "anon_inode:[eventfd]"
	case *timerfd:
		return "anon_inode:[timerfd]"
	case *epoll:
		return "anon_inode:[eventpoll]"
	}
	if f.node.kind == nodeDir {
		if p, e := t.pathOf(f.node); e == 0 {
			return p
		}
	}
	if f.node.now.nlink == 0 {
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
		t.comm(), t.now.umask, t.o.PID, t.o.PID, len(t.fds), s.Size>>10, s.Resident>>10, s.Threads)
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
