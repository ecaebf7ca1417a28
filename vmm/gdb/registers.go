package gdb

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/x86"
)

// register is one as gdb numbers them: by its place in registers.
type register struct {
	name, kind string
	size       int // bytes
	get        func(*state, []byte)
	set        func(*state, []byte) // nil where it can't be changed
}

// state is a thread's registers, and the system call that it waits in.
type state struct {
	linux.TaskRegisters
	call uint64
}

// feature is a part of the target description.
type feature struct {
	name      string
	registers []register
}

// What user programs have in segment registers under Linux.
const (
	userCS = 0x33
	userSS = 0x2b
)

var (
	le        = binary.LittleEndian
	features  = describe()
	registers = flatten(features)
)

func flatten(fs []feature) (all []register) {
	for _, f := range fs {
		all = append(all, f.registers...)
	}
	return all
}

// word is a register of 64 bits that lies in s.
func word(name, kind string, at func(*state) *uint64) register {
	return register{
		name, kind, 8,
		func(s *state, b []byte) { le.PutUint64(b, *at(s)) },
		func(s *state, b []byte) { *at(s) = le.Uint64(b) },
	}
}

// number is a register of 32 bits with a value of its own kind.
func number(name string, get func(*state) uint32, set func(*state, uint32)) register {
	r := register{name: name, kind: "int", size: 4, get: func(s *state, b []byte) { le.PutUint32(b, get(s)) }}
	if set != nil {
		r.set = func(s *state, b []byte) { set(s, le.Uint32(b)) }
	}
	return r
}

func fixed(name string, v uint32) register {
	return number(name, func(*state) uint32 { return v }, nil)
}

// describe lists gdb's registers for amd64 with AVX under Linux, in its order (features/i386/64bit-*.xml).
func describe() []feature {
	general := func(r *x86.Regs) []*uint64 {
		return []*uint64{&r.RAX, &r.RBX, &r.RCX, &r.RDX, &r.RSI, &r.RDI, &r.RBP, &r.RSP, &r.R8, &r.R9, &r.R10, &r.R11, &r.R12, &r.R13, &r.R14, &r.R15, &r.RIP}
	}
	core := feature{name: "org.gnu.gdb.i386.core"}
	for i, name := range strings.Fields("rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip") {
		kind := map[string]string{"rbp": "data_ptr", "rsp": "data_ptr", "rip": "code_ptr"}[name]
		if kind == "" {
			kind = "int64"
		}
		core.registers = append(core.registers, word(name, kind, func(s *state) *uint64 { return general(&s.Regs)[i] }))
	}
	core.registers = append(core.registers,
		number("eflags", func(s *state) uint32 { return uint32(s.RFLAGS) }, func(s *state, v uint32) { s.RFLAGS = x86.Flags(v) }),
		fixed("cs", userCS), fixed("ss", userSS), fixed("ds", 0), fixed("es", 0), fixed("fs", 0), fixed("gs", 0))
	for i := range 8 {
		core.registers = append(core.registers, register{
			fmt.Sprintf("st%d", i), "i387_ext", 10,
			func(s *state, b []byte) {
				le.PutUint64(b, s.Extended.ST[i].Mantissa)
				le.PutUint16(b[8:], s.Extended.ST[i].SignExponent)
			},
			func(s *state, b []byte) {
				s.Extended.ST[i].Mantissa, s.Extended.ST[i].SignExponent = le.Uint64(b), le.Uint16(b[8:])
			},
		})
	}
	core.registers = append(core.registers,
		number("fctrl", func(s *state) uint32 { return uint32(s.Extended.FCW) }, func(s *state, v uint32) { s.Extended.FCW = uint16(v) }),
		number("fstat", func(s *state) uint32 { return uint32(s.Extended.FSW) }, func(s *state, v uint32) { s.Extended.FSW = uint16(v) }),
		number("ftag", tagWord, nil),
		fixed("fiseg", 0), number("fioff", func(s *state) uint32 { return uint32(s.Extended.FIP) }, nil),
		fixed("foseg", 0), number("fooff", func(s *state) uint32 { return uint32(s.Extended.FDP) }, nil),
		number("fop", func(s *state) uint32 { return uint32(s.Extended.FOP) }, nil))
	sse := feature{name: "org.gnu.gdb.i386.sse"}
	for i := range 16 {
		sse.registers = append(sse.registers, register{
			fmt.Sprintf("xmm%d", i), "vec128", 16,
			func(s *state, b []byte) {
				le.PutUint64(b, s.Extended.XMM[i][0])
				le.PutUint64(b[8:], s.Extended.XMM[i][1])
			},
			func(s *state, b []byte) { s.Extended.XMM[i] = [2]uint64{le.Uint64(b), le.Uint64(b[8:])} },
		})
	}
	sse.registers = append(sse.registers,
		number("mxcsr", func(s *state) uint32 { return s.Extended.MXCSR }, func(s *state, v uint32) { s.Extended.MXCSR = v & s.Extended.MXCSRMask }))
	avx := feature{name: "org.gnu.gdb.i386.avx"} // the upper halves, which gdb joins with XMM registers
	for i := range 16 {
		avx.registers = append(avx.registers, register{
			fmt.Sprintf("ymm%dh", i), "uint128", 16,
			func(s *state, b []byte) {
				upper := s.Extended.Upper()
				le.PutUint64(b, upper[i][0])
				le.PutUint64(b[8:], upper[i][1])
			},
			func(s *state, b []byte) {
				upper := s.Extended.Upper()
				upper[i] = [2]uint64{le.Uint64(b), le.Uint64(b[8:])}
				s.Extended.SetUpper(&upper)
			},
		})
	}
	call := register{"orig_rax", "int", 8, func(s *state, b []byte) { le.PutUint64(b, s.call) }, nil}
	return []feature{core, sse, avx, {"org.gnu.gdb.i386.linux", []register{call}}, {"org.gnu.gdb.i386.segments", []register{
		word("fs_base", "int", func(s *state) *uint64 { return &s.FS }), word("gs_base", "int", func(s *state) *uint64 { return &s.GS }),
	}}}
}

// tagWord is x87's, of FXSAVE's short form (Intel SDM volume 1, 10.5.1.1): two bits a physical register.
func tagWord(s *state) uint32 {
	const valid, zero, special, empty = 0, 1, 2, 3
	w := uint32(0)
	top := int(s.Extended.FSW >> 11 & 7)
	for i := range 8 {
		tag := uint32(valid)
		st := s.Extended.ST[(i-top)&7]
		switch exponent := st.SignExponent & 0x7fff; {
		case s.Extended.FTW>>i&1 == 0:
			tag = empty
		case exponent == 0 && st.Mantissa == 0:
			tag = zero
		case exponent == 0 || exponent == 0x7fff || st.Mantissa>>63 == 0:
			tag = special
		}
		w |= tag << (2 * i)
	}
	return w
}

// targetXML is the target description (GDB manual, appendix G).
func targetXML() []byte {
	b := []byte(`<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target><architecture>i386:x86-64</architecture><osabi>GNU/Linux</osabi>`)
	number := 0
	for _, f := range features {
		b = fmt.Appendf(b, `<feature name="%s">`, f.name)
		if strings.HasSuffix(f.name, "sse") {
			b = append(b, `<vector id="v4f" type="ieee_single" count="4"/><vector id="v2d" type="ieee_double" count="2"/>`+
				`<vector id="v16i8" type="int8" count="16"/><vector id="v8i16" type="int16" count="8"/><vector id="v4i32" type="int32" count="4"/>`+
				`<vector id="v2i64" type="int64" count="2"/><union id="vec128"><field name="v4_float" type="v4f"/><field name="v2_double" type="v2d"/>`+
				`<field name="v16_int8" type="v16i8"/><field name="v8_int16" type="v8i16"/><field name="v4_int32" type="v4i32"/>`+
				`<field name="v2_int64" type="v2i64"/><field name="uint128" type="uint128"/></union>`...)
		}
		for _, r := range f.registers {
			b = fmt.Appendf(b, `<reg name="%s" bitsize="%d" type="%s" regnum="%d"/>`, r.name, r.size*8, r.kind, number)
			number++
		}
		b = append(b, `</feature>`...)
	}
	return append(b, `</target>`...)
}

// noCall is orig_rax of a thread that isn't in a system call.
const noCall = ^uint64(0)

func (c *conn) state() (*state, int32, bool) {
	id := c.anyThread()
	r, err := c.target.Registers(id)
	s := &state{r, noCall}
	if t, found := c.find(id); found && t.Waiting {
		s.call = t.Call
	}
	return s, id, err == nil
}

func (c *conn) readAll(string) []byte {
	s, _, found := c.state()
	if !found {
		return noThread
	}
	var out []byte
	for _, r := range registers {
		b := make([]byte, r.size)
		r.get(s, b)
		out = append(out, b...)
	}
	return []byte(hex.EncodeToString(out))
}

func (c *conn) writeAll(text string) []byte {
	b, err := hex.DecodeString(text)
	s, id, found := c.state()
	switch {
	case err != nil:
		return bad
	case !found:
		return noThread
	}
	for _, r := range registers {
		if len(b) < r.size {
			return bad
		}
		if r.set != nil {
			r.set(s, b)
		}
		b = b[r.size:]
	}
	return c.setState(id, s)
}

func (c *conn) setState(id int32, s *state) []byte {
	if err := c.target.SetRegisters(id, s.TaskRegisters); err != nil {
		return bad
	}
	return ok
}

func (c *conn) readRegister(text string) []byte {
	n, err := strconv.ParseUint(text, 16, 16)
	if err != nil || n >= uint64(len(registers)) {
		return bad
	}
	s, _, found := c.state()
	if !found {
		return noThread
	}
	b := make([]byte, registers[n].size)
	registers[n].get(s, b)
	return []byte(hex.EncodeToString(b))
}

func (c *conn) writeRegister(text string) []byte {
	number, value, _ := strings.Cut(text, "=")
	n, err := strconv.ParseUint(number, 16, 16)
	b, err2 := hex.DecodeString(value)
	if err != nil || err2 != nil || n >= uint64(len(registers)) || len(b) != registers[n].size {
		return bad
	}
	s, id, found := c.state()
	if !found {
		return noThread
	}
	if registers[n].set == nil {
		return ok // gdb writes orig_rax before it calls a function: there is nothing to restart
	}
	registers[n].set(s, b)
	return c.setState(id, s)
}
