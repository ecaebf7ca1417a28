package abi

// Flags of clone (include/uapi/linux/sched.h).
const (
	CLONE_NEWTIME        = 0x80
	CLONE_VM             = 0x100
	CLONE_FS             = 0x200
	CLONE_FILES          = 0x400
	CLONE_SIGHAND        = 0x800
	CLONE_PIDFD          = 0x1000
	CLONE_PTRACE         = 0x2000
	CLONE_VFORK          = 0x4000
	CLONE_PARENT         = 0x8000
	CLONE_THREAD         = 0x10000
	CLONE_NEWNS          = 0x20000
	CLONE_SYSVSEM        = 0x40000
	CLONE_SETTLS         = 0x80000
	CLONE_PARENT_SETTID  = 0x100000
	CLONE_CHILD_CLEARTID = 0x200000
	CLONE_DETACHED       = 0x400000
	CLONE_UNTRACED       = 0x800000
	CLONE_CHILD_SETTID   = 0x1000000
	CLONE_NEWCGROUP      = 0x2000000
	CLONE_NEWUTS         = 0x4000000
	CLONE_NEWIPC         = 0x8000000
	CLONE_NEWUSER        = 0x10000000
	CLONE_NEWPID         = 0x20000000
	CLONE_NEWNET         = 0x40000000
	CLONE_IO             = 0x80000000
	CLONE_CLEAR_SIGHAND  = 0x100000000
	CLONE_INTO_CGROUP    = 0x200000000
	CLONE_AUTOREAP       = 0x400000000
	CLONE_NNP            = 0x800000000
	CLONE_PIDFD_AUTOKILL = 0x1000000000
	CLONE_EMPTY_MNTNS    = 0x2000000000
)

// Operations of futex (include/uapi/linux/futex.h).
const (
	FUTEX_WAIT             = 0
	FUTEX_WAKE             = 1
	FUTEX_FD               = 2
	FUTEX_REQUEUE          = 3
	FUTEX_CMP_REQUEUE      = 4
	FUTEX_WAKE_OP          = 5
	FUTEX_LOCK_PI          = 6
	FUTEX_UNLOCK_PI        = 7
	FUTEX_TRYLOCK_PI       = 8
	FUTEX_WAIT_BITSET      = 9
	FUTEX_WAKE_BITSET      = 10
	FUTEX_WAIT_REQUEUE_PI  = 11
	FUTEX_CMP_REQUEUE_PI   = 12
	FUTEX_LOCK_PI2         = 13
	FUTEX_PRIVATE_FLAG     = 0x80
	FUTEX_CLOCK_REALTIME   = 0x100
	FUTEX_CMD_MASK         = 0xfffffe7f // ^(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME)
	FUTEX_BITSET_MATCH_ANY = 0xffffffff
)

// What FUTEX_WAKE_OP does with its second word, and how it compares the old value.
const (
	FUTEX_OP_SET         = 0
	FUTEX_OP_ADD         = 1
	FUTEX_OP_OR          = 2
	FUTEX_OP_ANDN        = 3
	FUTEX_OP_XOR         = 4
	FUTEX_OP_OPARG_SHIFT = 8

	FUTEX_OP_CMP_EQ = 0
	FUTEX_OP_CMP_NE = 1
	FUTEX_OP_CMP_LT = 2
	FUTEX_OP_CMP_LE = 3
	FUTEX_OP_CMP_GT = 4
	FUTEX_OP_CMP_GE = 5
)

// The bits in a robust futex's word.
const (
	FUTEX_WAITERS    = 0x80000000
	FUTEX_OWNER_DIED = 0x40000000
	FUTEX_TID_MASK   = 0x3fffffff
)

// Operations of arch_prctl.
const (
	ARCH_SET_GS     = 0x1001
	ARCH_SET_FS     = 0x1002
	ARCH_GET_FS     = 0x1003
	ARCH_GET_GS     = 0x1004
	ARCH_GET_CPUID  = 0x1011
	ARCH_SET_CPUID  = 0x1012
	ARCH_CET_STATUS = 0x3001
)

// Operations of prctl.
const (
	PR_SET_PDEATHSIG     = 1
	PR_GET_DUMPABLE      = 3
	PR_SET_DUMPABLE      = 4
	PR_SET_NAME          = 15
	PR_GET_NAME          = 0x10
	PR_SET_NO_NEW_PRIVS  = 0x26
	PR_GET_NO_NEW_PRIVS  = 0x27
	PR_SET_VMA           = 0x53564d41
	PR_SET_VMA_ANON_NAME = 0
)

// Resources of getrlimit.
const (
	RLIMIT_CPU        = 0
	RLIMIT_FSIZE      = 1
	RLIMIT_DATA       = 2
	RLIMIT_STACK      = 3
	RLIMIT_CORE       = 4
	RLIMIT_RSS        = 5
	RLIMIT_NPROC      = 6
	RLIMIT_NOFILE     = 7
	RLIMIT_MEMLOCK    = 8
	RLIMIT_AS         = 9
	RLIMIT_LOCKS      = 10
	RLIMIT_SIGPENDING = 11
	RLIMIT_MSGQUEUE   = 12
	RLIMIT_NICE       = 13
	RLIMIT_RTPRIO     = 14
	RLIMIT_RTTIME     = 15
)

// RLIM_INFINITY is no limit.
const RLIM_INFINITY = ^uint64(0)

// Whose usage getrusage tells.
const (
	RUSAGE_SELF     = 0
	RUSAGE_CHILDREN = -1
	RUSAGE_THREAD   = 1
)

// Flags of getrandom.
const (
	GRND_NONBLOCK = 1
	GRND_RANDOM   = 2
	GRND_INSECURE = 4
)
