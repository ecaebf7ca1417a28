package linux

import (
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/plain"
	"github.com/wherry/wherry/vmm/linux/trace"
)

// call is a system call: what it does, and how a trace writes its arguments (describe).
type call struct {
	run     func(p *Process, t *Task, a *args) (uint64, abi.Errno)
	pattern string
}

// returned is what a call returns that has set all registers itself.
const returned abi.Errno = 1022

// calls are the system calls that are there, by number. All others are ENOSYS.
var calls [abi.Calls]call

func init() {
	for _, table := range []map[abi.Call]call{memoryCalls, taskCalls, timeCalls, signalCalls, fileCalls, readyCalls, socketCalls, systemCalls} {
		for n, c := range table {
			calls[n] = c
		}
	}
	for _, table := range plain.Tables() {
		for n, c := range table {
			calls[n] = call{func(p *Process, _ *Task, a *args) (uint64, abi.Errno) {
				return c.Run(plain.Process{Space: p.space, Files: p.Files}, (*plain.Args)(a))
			}, c.Pattern}
		}
	}
}

var memoryCalls = map[abi.Call]call{
	abi.SYS_MMAP:     {callMmap, "xxxxdx"},
	abi.SYS_MUNMAP:   {callMunmap, "xx"},
	abi.SYS_MPROTECT: {callMprotect, "xxx"},
	abi.SYS_MREMAP:   {callMremap, "xxxxx"},
	abi.SYS_BRK:      {callBrk, "x"},
	abi.SYS_MADVISE:  {callMadvise, "xxd"},
	abi.SYS_MINCORE:  {callMincore, "xxx"},
}

var taskCalls = map[abi.Call]call{
	abi.SYS_CLONE:           {callClone, "xxxxx"},
	abi.SYS_EXIT:            {callExit, "d"},
	abi.SYS_EXIT_GROUP:      {callExitGroup, "d"},
	abi.SYS_SET_TID_ADDRESS: {callSetTIDAddress, "x"},
	abi.SYS_SET_ROBUST_LIST: {callSetRobustList, "xd"},
	abi.SYS_GETTID:          {callGettid, ""},
	abi.SYS_ARCH_PRCTL:      {callArchPrctl, "xx"},
	abi.SYS_PRCTL:           {callPrctl, "dxxxx"},
	abi.SYS_FUTEX:           {callFutex, "xxdxxx"},
	abi.SYS_SCHED_YIELD:     {callSchedYield, ""},
}

var timeCalls = map[abi.Call]call{
	abi.SYS_CLOCK_GETTIME:   {callClockGettime, "dx"},
	abi.SYS_CLOCK_GETRES:    {callClockGetres, "dx"},
	abi.SYS_CLOCK_NANOSLEEP: {callClockNanosleep, "dxxx"},
	abi.SYS_NANOSLEEP:       {callNanosleep, "xx"},
	abi.SYS_GETTIMEOFDAY:    {callGettimeofday, "xx"},
	abi.SYS_TIME:            {callTime, "x"},
	abi.SYS_TIMES:           {callTimes, "x"},
}

var signalCalls = map[abi.Call]call{
	abi.SYS_RT_SIGACTION:      {callRtSigaction, "dxxd"},
	abi.SYS_RT_SIGPROCMASK:    {callRtSigprocmask, "dxxd"},
	abi.SYS_RT_SIGRETURN:      {callRtSigreturn, ""},
	abi.SYS_RT_SIGPENDING:     {callRtSigpending, "xd"},
	abi.SYS_RT_SIGSUSPEND:     {callRtSigsuspend, "xd"},
	abi.SYS_RT_SIGTIMEDWAIT:   {callRtSigtimedwait, "xxxd"},
	abi.SYS_RT_SIGQUEUEINFO:   {callRtSigqueueinfo, "ddx"},
	abi.SYS_RT_TGSIGQUEUEINFO: {callRtTgsigqueueinfo, "dddx"},
	abi.SYS_SIGALTSTACK:       {callSigaltstack, "xx"},
	abi.SYS_PAUSE:             {callPause, ""},
	abi.SYS_KILL:              {callKill, "dd"},
	abi.SYS_TKILL:             {callTkill, "dd"},
	abi.SYS_TGKILL:            {callTgkill, "ddd"},
}

// systemCall does what t asks for in its registers.
func (p *Process) systemCall(t *Task) {
	r := t.registers()
	n := abi.Call(uint32(r.RAX))
	t.Wait = wait{Call: uint32(n), Args: [6]uint64{r.RDI, r.RSI, r.RDX, r.R10, r.R8, r.R9}}
	if int(n) >= abi.Calls || calls[n].run == nil {
		p.counters.Miss(n)
		p.finishCall(t, n, &t.Wait.Args, 0, abi.ENOSYS)
		t.Wait = wait{}
		return
	}
	p.counters.Calls[n]++
	p.invoke(t, n)
}

// retry makes the call again that t waits in.
func (p *Process) retry(t *Task) {
	t.Wait.Kind, t.Wait.Set = ready, 0
	p.invoke(t, abi.Call(t.Wait.Call))
}

func (p *Process) invoke(t *Task, n abi.Call) {
	a := &t.args
	*a = t.Wait.Args
	result, e := calls[n].run(p, t, a)
	switch e {
	case blocked:
		if t.Wait.Kind != ready && p.options.Trace != nil {
			p.trace(trace.Event{Kind: trace.Wait, Task: int(t.ID), Name: n.String(), Args: p.describe(calls[n].pattern, a)})
		}
		return
	case returned:
		p.traceCall(t, n, &t.Wait.Args, 0, 0)
	default:
		p.finishCall(t, n, &t.Wait.Args, result, e)
	}
	t.Wait = wait{}
}

// finishCall has a call return to the program.
func (p *Process) finishCall(t *Task, n abi.Call, a *[6]uint64, result uint64, e abi.Errno) {
	if e != 0 {
		result = e.Result()
	}
	p.traceCall(t, n, a, result, e)
	t.registers().RAX = result
}

func (p *Process) traceCall(t *Task, n abi.Call, a *[6]uint64, result uint64, e abi.Errno) {
	if p.options.Trace == nil {
		return
	}
	pattern := "xxxxxx"
	if int(n) < abi.Calls && calls[n].run != nil {
		pattern = calls[n].pattern
	}
	v := args(*a)
	p.trace(trace.Event{Kind: trace.Call, Task: int(t.ID), Name: n.String(), Args: p.describe(pattern, &v), Result: int64(result), Errno: e})
}
