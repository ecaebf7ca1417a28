package abi

// The signals (include/uapi/asm/signal.h).
const (
	SIGHUP    Signal = 1
	SIGINT    Signal = 2
	SIGQUIT   Signal = 3
	SIGILL    Signal = 4
	SIGTRAP   Signal = 5
	SIGABRT   Signal = 6
	SIGBUS    Signal = 7
	SIGFPE    Signal = 8
	SIGKILL   Signal = 9
	SIGUSR1   Signal = 10
	SIGSEGV   Signal = 11
	SIGUSR2   Signal = 12
	SIGPIPE   Signal = 13
	SIGALRM   Signal = 14
	SIGTERM   Signal = 15
	SIGSTKFLT Signal = 16
	SIGCHLD   Signal = 17
	SIGCONT   Signal = 18
	SIGSTOP   Signal = 19
	SIGTSTP   Signal = 20
	SIGTTIN   Signal = 21
	SIGTTOU   Signal = 22
	SIGURG    Signal = 23
	SIGXCPU   Signal = 24
	SIGXFSZ   Signal = 25
	SIGVTALRM Signal = 26
	SIGPROF   Signal = 27
	SIGWINCH  Signal = 28
	SIGIO     Signal = 29
	SIGPWR    Signal = 30
	SIGSYS    Signal = 31

	SIGRTMIN Signal = 32
	SIGRTMAX Signal = 64
)

// signals is indexed by number.
var signals = [...]struct{ name, text string }{
	SIGHUP:    {"SIGHUP", "hangup"},
	SIGINT:    {"SIGINT", "interrupt"},
	SIGQUIT:   {"SIGQUIT", "quit"},
	SIGILL:    {"SIGILL", "illegal instruction"},
	SIGTRAP:   {"SIGTRAP", "trace/breakpoint trap"},
	SIGABRT:   {"SIGABRT", "aborted"},
	SIGBUS:    {"SIGBUS", "bus error"},
	SIGFPE:    {"SIGFPE", "floating point exception"},
	SIGKILL:   {"SIGKILL", "killed"},
	SIGUSR1:   {"SIGUSR1", "user defined signal 1"},
	SIGSEGV:   {"SIGSEGV", "segmentation fault"},
	SIGUSR2:   {"SIGUSR2", "user defined signal 2"},
	SIGPIPE:   {"SIGPIPE", "broken pipe"},
	SIGALRM:   {"SIGALRM", "alarm clock"},
	SIGTERM:   {"SIGTERM", "terminated"},
	SIGSTKFLT: {"SIGSTKFLT", "stack fault"},
	SIGCHLD:   {"SIGCHLD", "child exited"},
	SIGCONT:   {"SIGCONT", "continued"},
	SIGSTOP:   {"SIGSTOP", "stopped (signal)"},
	SIGTSTP:   {"SIGTSTP", "stopped"},
	SIGTTIN:   {"SIGTTIN", "stopped (tty input)"},
	SIGTTOU:   {"SIGTTOU", "stopped (tty output)"},
	SIGURG:    {"SIGURG", "urgent I/O condition"},
	SIGXCPU:   {"SIGXCPU", "CPU time limit exceeded"},
	SIGXFSZ:   {"SIGXFSZ", "file size limit exceeded"},
	SIGVTALRM: {"SIGVTALRM", "virtual timer expired"},
	SIGPROF:   {"SIGPROF", "profiling timer expired"},
	SIGWINCH:  {"SIGWINCH", "window changed"},
	SIGIO:     {"SIGIO", "I/O possible"},
	SIGPWR:    {"SIGPWR", "power failure"},
	SIGSYS:    {"SIGSYS", "bad system call"},
}

// Flags of a signal's action.
const (
	SA_NOCLDSTOP = 0x1
	SA_NOCLDWAIT = 0x2
	SA_SIGINFO   = 0x4
	SA_RESTORER  = 0x4000000
	SA_ONSTACK   = 0x8000000
	SA_RESTART   = 0x10000000
	SA_NODEFER   = 0x40000000
	SA_RESETHAND = 0x80000000
)

// Handlers that are none.
const (
	SIG_DFL = 0
	SIG_IGN = 1
)

// What rt_sigprocmask does.
const (
	SIG_BLOCK   = 0
	SIG_UNBLOCK = 1
	SIG_SETMASK = 2
)

// Where a signal is from (include/uapi/asm-generic/siginfo.h).
const (
	SI_USER   int32 = 0
	SI_KERNEL int32 = 0x80
	SI_QUEUE  int32 = -1
	SI_TIMER  int32 = -2
	SI_TKILL  int32 = -6

	ILL_ILLOPC  int32 = 1
	ILL_ILLOPN  int32 = 2
	ILL_PRVOPC  int32 = 5
	FPE_INTDIV  int32 = 1
	FPE_INTOVF  int32 = 2
	FPE_FLTDIV  int32 = 3
	FPE_FLTOVF  int32 = 4
	FPE_FLTUND  int32 = 5
	FPE_FLTRES  int32 = 6
	FPE_FLTINV  int32 = 7
	SEGV_MAPERR int32 = 1
	SEGV_ACCERR int32 = 2
	BUS_ADRALN  int32 = 1
	BUS_ADRERR  int32 = 2
	BUS_OBJERR  int32 = 3
	TRAP_BRKPT  int32 = 1
	TRAP_TRACE  int32 = 2
)

// Flags and sizes of the alternate signal stack.
const (
	SS_ONSTACK    = 1
	SS_DISABLE    = 2
	SS_AUTODISARM = 0x80000000
	MINSIGSTKSZ   = 2048
)
