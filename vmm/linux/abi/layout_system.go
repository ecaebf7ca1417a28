package abi

// RlimitSize is the size of an Rlimit.
const RlimitSize = 16

// Rlimit is struct rlimit64.
type Rlimit struct{ Cur, Max uint64 }

// Put writes the structure.
func (r *Rlimit) Put(b []byte) {
	le.PutUint64(b[0:], r.Cur)
	le.PutUint64(b[8:], r.Max)
}

// Get reads the structure.
func (r *Rlimit) Get(b []byte) { r.Cur, r.Max = le.Uint64(b), le.Uint64(b[8:]) }

// UtsnameSize is the size of an Utsname: six strings of 65 bytes.
const (
	UtsnameSize = 6 * utsField
	utsField    = 65
)

// Utsname is struct new_utsname.
type Utsname struct{ Sysname, Nodename, Release, Version, Machine, Domainname string }

// Put writes the structure; what is too long is cut.
func (u *Utsname) Put(b []byte) {
	_ = b[UtsnameSize-1]
	clear(b[:UtsnameSize])
	for i, s := range [...]string{u.Sysname, u.Nodename, u.Release, u.Version, u.Machine, u.Domainname} {
		copy(b[i*utsField:(i+1)*utsField-1], s)
	}
}

// SysinfoSize is the size of a Sysinfo.
const SysinfoSize = 112

// Sysinfo is struct sysinfo (include/uapi/linux/sysinfo.h), memory in bytes.
type Sysinfo struct {
	Uptime              int64 // seconds
	Totalram, Freeram   uint64
	Sharedram, Buffered uint64
	Procs               uint16
}

// Put writes the structure.
func (s *Sysinfo) Put(b []byte) {
	_ = b[SysinfoSize-1]
	clear(b[:SysinfoSize])
	le.PutUint64(b[0:], uint64(s.Uptime))
	le.PutUint64(b[32:], s.Totalram)
	le.PutUint64(b[40:], s.Freeram)
	le.PutUint64(b[48:], s.Sharedram)
	le.PutUint64(b[56:], s.Buffered)
	le.PutUint16(b[80:], s.Procs)
	le.PutUint32(b[104:], 1) // mem_unit
}

// RusageSize is the size of a Rusage.
const RusageSize = 144

// Rusage is struct rusage, times in nanoseconds.
type Rusage struct {
	Utime, Stime   int64
	Maxrss         int64 // KiB
	Minflt, Majflt int64
	Nvcsw, Nivcsw  int64
}

// Put writes the structure.
func (r *Rusage) Put(b []byte) {
	_ = b[RusageSize-1]
	clear(b[:RusageSize])
	PutTimeval(b[0:], r.Utime)
	PutTimeval(b[16:], r.Stime)
	le.PutUint64(b[32:], uint64(r.Maxrss))
	le.PutUint64(b[64:], uint64(r.Minflt))
	le.PutUint64(b[72:], uint64(r.Majflt))
	le.PutUint64(b[128:], uint64(r.Nvcsw))
	le.PutUint64(b[136:], uint64(r.Nivcsw))
}

// CloneArgsSize is the size of the first version of struct clone_args, which is what clone3 wants at least.
const CloneArgsSize = 64

// CloneArgs is struct clone_args (include/uapi/linux/sched.h).
type CloneArgs struct{ Flags, Pidfd, ChildTID, ParentTID, ExitSignal, Stack, StackSize, TLS uint64 }

// Get reads the structure.
func (c *CloneArgs) Get(b []byte) {
	for i, p := range [...]*uint64{&c.Flags, &c.Pidfd, &c.ChildTID, &c.ParentTID, &c.ExitSignal, &c.Stack, &c.StackSize, &c.TLS} {
		*p = le.Uint64(b[8*i:])
	}
}
