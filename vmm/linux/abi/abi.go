package abi

import "strconv"

// Errno is the error of a system call: 0 is none. A call that fails returns its negative in rax.
type Errno uint16

// Those are the kernel's own and never reach a program: the personality makes EINTR of them or starts the call again (include/linux/errno.h).
const (
	ERESTARTSYS           Errno = 512
	ERESTARTNOINTR        Errno = 513
	ERESTARTNOHAND        Errno = 514
	ERESTART_RESTARTBLOCK Errno = 516
)

// Name is the error's name, like ENOENT.
func (e Errno) Name() string {
	if int(e) < len(errors) && errors[e].name != "" {
		return errors[e].name
	}
	if e == 0 {
		return "0"
	}
	return "E" + strconv.Itoa(int(e))
}

// Error is what strerror says.
func (e Errno) Error() string {
	if int(e) < len(errors) && errors[e].text != "" {
		return errors[e].text
	}
	return "errno " + strconv.Itoa(int(e))
}

// Result is what rax has after a call that failed.
func (e Errno) Result() uint64 { return uint64(-int64(e)) }

// Call is the number of a system call.
type Call uint32

// Calls is one more than the highest number known.
const Calls = len(callNames)

// String is the call's name, like openat.
func (c Call) String() string {
	if int(c) < len(callNames) && callNames[c] != "" {
		return callNames[c]
	}
	return "syscall_" + strconv.FormatUint(uint64(c), 10)
}

// Signal is a signal's number, from 1 to 64.
type Signal uint8

// String is the signal's name, like SIGSEGV.
func (s Signal) String() string {
	if int(s) < len(signals) && signals[s].name != "" {
		return signals[s].name
	}
	return "SIG" + strconv.Itoa(int(s))
}

// Text is what strsignal says.
func (s Signal) Text() string {
	if int(s) < len(signals) && signals[s].text != "" {
		return signals[s].text
	}
	return "real-time signal " + strconv.Itoa(int(s))
}
