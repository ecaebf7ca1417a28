//go:build linux && amd64

package emu

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/emu/avx"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/x86"
	"golang.org/x/sys/unix"
)

// traced is a process that does nothing but one instruction at a time, between stops: so its faults can be looked at.
type traced struct {
	pid    int
	memory *os.File
}

// image is a program of two segments at codeAt and dataAt, which begins with INT3.
func image() []byte {
	const header, entry, code, data = 64, 56, phys.PageSize * codePages, phys.PageSize * dataPages
	b := []byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	le := binary.LittleEndian
	b = le.AppendUint32(b, 2|62<<16) // an executable, of x86-64
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, codeAt)
	b = le.AppendUint64(b, header)
	b = le.AppendUint64(b, 0)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, header|entry<<16)
	b = le.AppendUint64(b, 2)
	for _, s := range []struct {
		flags  uint32
		at     uint64
		offset uint64
		size   uint64
	}{{7, codeAt, phys.PageSize, code}, {6, dataAt, phys.PageSize + code, data}} {
		b = le.AppendUint32(b, 1)
		b = le.AppendUint32(b, s.flags)
		for _, v := range []uint64{s.offset, s.at, s.at, s.size, s.size, phys.PageSize} {
			b = le.AppendUint64(b, v)
		}
	}
	b = append(b, make([]byte, phys.PageSize+code+data-len(b))...)
	b[phys.PageSize] = 0xcc
	return b
}

// trace starts the process. The test's goroutine stays on its thread, which is the tracer.
func trace(t *testing.T) *traced {
	t.Helper()
	name := filepath.Join(t.TempDir(), "traced")
	if err := os.WriteFile(name, image(), 0o700); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	p, err := os.StartProcess(name, []string{name}, &os.ProcAttr{Sys: &unix.SysProcAttr{Ptrace: true}})
	if err != nil {
		t.Skipf("a process can't be traced here: %v", err)
	}
	t.Cleanup(func() {
		_ = p.Kill()
		_, _ = p.Wait()
	})
	var status unix.WaitStatus
	if _, err := unix.Wait4(p.Pid, &status, 0, nil); err != nil || !status.Stopped() {
		t.Fatalf("%v, status %#x", err, status)
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", p.Pid), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { memory.Close() })
	return &traced{p.Pid, memory}
}

func (p *traced) ptrace(request int, data unsafe.Pointer) error {
	if _, _, e := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(p.pid), 0, uintptr(data), 0, 0); e != 0 {
		return fmt.Errorf("ptrace %d: %w", request, e)
	}
	return nil
}

// xsave is the area of XSAVE as ptrace has it.
func (p *traced) xsave(request int, area []byte) (int, error) {
	const xstate = 0x202 // NT_X86_XSTATE
	v := unix.Iovec{Base: unsafe.SliceData(area), Len: uint64(len(area))}
	_, _, e := unix.Syscall6(unix.SYS_PTRACE, uintptr(request), uintptr(p.pid), xstate, uintptr(unsafe.Pointer(&v)), 0, 0)
	if e != 0 {
		return 0, fmt.Errorf("ptrace %#x: %w", request, e)
	}
	return int(v.Len), nil
}

// areaMax is more than the area of any processor.
const areaMax = 16 << 10

func (p *traced) setExtended(e *x86.Extended) error {
	if !hostHasAVX {
		return p.ptrace(unix.PTRACE_SETFPREGS, unsafe.Pointer(e))
	}
	area := make([]byte, areaMax)
	n, err := p.xsave(unix.PTRACE_GETREGSET, area)
	if err != nil {
		return err
	}
	copy(area[:avx.RegistersEnd], (*[avx.RegistersEnd]byte)(unsafe.Pointer(e))[:])
	area[x86.FxsaveSize] |= avx.Parts
	for i, u := range e.Upper() {
		binary.LittleEndian.PutUint64(area[x86.XsaveUpper+16*i:], u[0])
		binary.LittleEndian.PutUint64(area[x86.XsaveUpper+16*i+8:], u[1])
	}
	_, err = p.xsave(unix.PTRACE_SETREGSET, area[:n])
	return err
}

func (p *traced) getExtended(e *x86.Extended) error {
	if !hostHasAVX {
		return p.ptrace(unix.PTRACE_GETFPREGS, unsafe.Pointer(e))
	}
	area := make([]byte, areaMax)
	if _, err := p.xsave(unix.PTRACE_GETREGSET, area); err != nil {
		return err
	}
	copy((*[avx.RegistersEnd]byte)(unsafe.Pointer(e))[:], area)
	got := x86.Extended{Beyond: area[x86.FxsaveSize:]}
	upper := got.Upper()
	e.SetUpper(&upper)
	return nil
}

// siginfo is the beginning of the kernel's siginfo_t.
type siginfo struct {
	signal, errno, code int32
	_                   int32
	addr                uint64
	_                   [104]byte
}

// What si_code says of SIGSEGV and SIGFPE.
const (
	codeMapped  = 1
	codeAccess  = 2
	codeInteger = 1
)

// run executes inst with registers and extended, and has in them what is there when it stops. exit is what an emulator should have ended with.
func (p *traced) run(inst []byte, registers *[17]uint64, extended *x86.Extended) (exit vmm.Exit, err error) {
	if _, err = p.memory.WriteAt(append(bytes.Clone(inst), 0xcc), codeAt); err != nil {
		return exit, err
	}
	var r unix.PtraceRegs
	if err = unix.PtraceGetRegs(p.pid, &r); err != nil {
		return exit, err
	}
	fields := []*uint64{&r.Rax, &r.Rcx, &r.Rdx, &r.Rbx, &r.Rsp, &r.Rbp, &r.Rsi, &r.Rdi, &r.R8, &r.R9, &r.R10, &r.R11, &r.R12, &r.R13, &r.R14, &r.R15, &r.Eflags}
	for i, v := range registers {
		*fields[i] = v
	}
	r.Rip, r.Orig_rax = codeAt, ^uint64(0)
	if err = unix.PtraceSetRegs(p.pid, &r); err != nil {
		return exit, fmt.Errorf("registers %+v: %w", r, err)
	}
	if err = p.setExtended(extended); err != nil {
		return exit, err
	}
	if err = unix.PtraceCont(p.pid, 0); err != nil {
		return exit, err
	}
	var status unix.WaitStatus
	if _, err = unix.Wait4(p.pid, &status, 0, nil); err != nil || !status.Stopped() {
		return exit, fmt.Errorf("%w, status %#x", err, status)
	}
	var info siginfo
	if err = p.ptrace(unix.PTRACE_GETSIGINFO, unsafe.Pointer(&info)); err != nil {
		return exit, err
	}
	if err = unix.PtraceGetRegs(p.pid, &r); err != nil {
		return exit, err
	}
	for i := range registers {
		registers[i] = *fields[i]
	}
	registers[16] &= uint64(x86.Arithmetic | x86.DF)
	err = p.getExtended(extended)
	exit.Kind = vmm.ExitException
	switch signal := status.StopSignal(); {
	case signal == unix.SIGTRAP:
		exit.Kind = vmm.ExitSpent
	case signal == unix.SIGILL:
		exit.Vector = x86.InvalidOpcode
	case signal == unix.SIGFPE && info.code == codeInteger && inst[0]&0xf8 != 0xd8:
		exit.Vector = x86.DivideError
	case signal == unix.SIGFPE:
		exit.Vector = x86.FloatingPoint
	case signal == unix.SIGSEGV && (info.code == codeMapped || info.code == codeAccess):
		exit.Kind, exit.Vector, exit.Addr = vmm.ExitPageFault, x86.PageFault, info.addr
	case signal == unix.SIGSEGV || signal == unix.SIGBUS:
		exit.Vector = x86.GeneralProtection
	default:
		err = fmt.Errorf("signal %v", signal)
	}
	return exit, err
}

// compareTraced executes one instruction here and there. It returns how it ended here.
func (d *differ) compareTraced(p *traced, inst []byte, in x86.Inst, g *generator) vmm.Exit {
	before := g.extended
	if err := d.machine.memory.WriteAt(inst, codePhys); err != nil {
		d.t.Fatal(err)
	}
	setRegisters(&d.vcpu.regs, g.registers)
	d.vcpu.regs.RIP = codeAt
	if err := d.vcpu.SetExtended(&g.extended); err != nil {
		d.t.Fatal(err)
	}
	exit := run(d.t, d.vcpu, 1)
	want, wantExtended := g.registers, g.extended
	wantExit, err := p.run(inst, &want, &wantExtended)
	if err != nil {
		d.t.Fatalf("% x (%+v): %v", inst, in, err)
	}
	d.compared++
	d.kinds[kindOf(in)]++
	if exit.Vector == x86.SIMDFloatingPoint {
		exit.Vector = x86.FloatingPoint // both are SIGFPE
	}
	parts := inParts(in) && exit.Kind == vmm.ExitPageFault
	if parts {
		exit.Addr, wantExit.Addr = exit.Addr&^offMask, wantExit.Addr&^offMask
	}
	if masked := in.VecShape == x86.VecMask || in.VecShape == x86.MMXMask; masked && exit.Kind == vmm.ExitSpent && wantExit.Kind != vmm.ExitSpent {
		d.fillAll(p, g) // where nothing is stored it depends on the processor whether it faults (Intel SDM volume 2, MASKMOVDQU)
		return exit
	}
	if exit.Kind != wantExit.Kind || exit.Vector != wantExit.Vector || exit.Addr != wantExit.Addr {
		d.fail(inst, in, "%+v, natively %+v; MXCSR %#x, status %#x, control %#x", exit, wantExit, before.MXCSR, before.FSW, before.FCW)
	}
	got := registers(&d.vcpu.regs)
	undefined := undefinedFlags(in, &g.registers)
	if exit.Kind != vmm.ExitSpent {
		undefined = 0
	}
	got[16], want[16] = got[16]&^undefined, want[16]&^undefined
	if got != want {
		d.fail(inst, in, "%v\n%s", exit, difference(&g.registers, &got, &want))
	}
	if exit.Kind == vmm.ExitSpent || !turnsStack(in) {
		d.compareExtended(inst, in, &before, &wantExtended)
	}
	if parts { // here they happen as a whole, or not at all
		d.fillAll(p, g)
		return exit
	}
	data := make([]byte, phys.PageSize*dataPages)
	if _, err := p.memory.ReadAt(data, dataAt); err != nil {
		d.t.Fatal(err)
	}
	for i := range dataPages {
		d.compareMemory(inst, in, data[i*phys.PageSize:][:phys.PageSize], dataPhys+phys.Addr(i*phys.PageSize))
	}
	return exit
}
