package program

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/space"
)

// Bounds of what Load takes.
const (
	programMax  = 256 << 20
	segmentsMax = 64
	programsMax = 1 << 46 // behind the highest address of a segment
	pieBase     = 0x5555_5555_4000
)

// Program is what an ELF file says of how it is loaded.
type Program struct {
	Bytes    []byte
	Segments []Segment
	Entry    uint64
	PHdr     uint64 // where its program headers are in memory; 0 when nowhere
	PHNum    int
	End      uint64 // behind the highest segment: where the heap may begin
}

// Segment is a part of the program in memory.
type Segment struct {
	At, Size  uint64 // in memory
	Off, Held uint64 // in the file
	Prot      uint32
}

var errNotELF = errors.New("not an ELF file; build a static Linux x86-64 program, for Go with CGO_ENABLED=0 GOOS=linux GOARCH=amd64")

// Parse reads the headers of a static program. What it refuses, it names.
func Parse(b []byte) (Program, error) {
	if len(b) > programMax {
		return Program{}, fmt.Errorf("a program of %d bytes; at most %d are loaded", len(b), programMax)
	}
	if len(b) < 4 || string(b[:4]) != elf.ELFMAG {
		return Program{}, errNotELF
	}
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return Program{}, fmt.Errorf("reading the program: %w", err)
	}
	switch {
	case f.Class != elf.ELFCLASS64 || f.Machine != elf.EM_X86_64:
		return Program{}, fmt.Errorf("a program for %v, %v; build it for x86-64", f.Machine, f.Class)
	case f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN:
		return Program{}, fmt.Errorf("an ELF file of type %v; link a program", f.Type)
	}
	base := uint64(0)
	if f.Type == elf.ET_DYN {
		base = pieBase
	}
	p := Program{Bytes: b, Entry: f.Entry + base, PHNum: len(f.Progs)}
	phoff := binary.LittleEndian.Uint64(b[32:]) // e_phoff
	for _, s := range f.Progs {
		switch s.Type {
		case elf.PT_INTERP:
			return Program{}, fmt.Errorf("a dynamic program, that needs %s; link it statically (-static, or CGO_ENABLED=0 for Go)", interpreter(b, s))
		case elf.PT_LOAD:
			if err := p.add(s, base); err != nil {
				return Program{}, err
			}
			if phoff >= s.Off && phoff < s.Off+s.Filesz {
				p.PHdr = phoff - s.Off + s.Vaddr + base
			}
		}
	}
	if len(p.Segments) == 0 {
		return Program{}, errors.New("an ELF file without a segment to load; link a program")
	}
	return p, nil
}

func interpreter(b []byte, s *elf.Prog) string {
	if s.Filesz == 0 || s.Filesz > 4096 || s.Off > uint64(len(b)) || s.Filesz > uint64(len(b))-s.Off {
		return "an interpreter"
	}
	return string(bytes.TrimRight(b[s.Off:s.Off+s.Filesz], "\x00"))
}

func (p *Program) add(s *elf.Prog, base uint64) error {
	size := uint64(len(p.Bytes))
	switch {
	case s.Memsz == 0:
		return nil
	case len(p.Segments) == segmentsMax:
		return fmt.Errorf("a program of more than %d segments", segmentsMax)
	case s.Filesz > s.Memsz || s.Off > size || s.Filesz > size-s.Off:
		return fmt.Errorf("the segment at %#x is longer than the file; copy the program again", s.Vaddr)
	case s.Vaddr > programsMax || s.Memsz > programsMax-s.Vaddr || s.Vaddr+base < space.UserMin:
		return fmt.Errorf("the segment at %#x, of %#x bytes, is where programs can't be", s.Vaddr, s.Memsz)
	case s.Vaddr&space.PageMask != s.Off&space.PageMask:
		return fmt.Errorf("the segment at %#x isn't aligned with its place in the file", s.Vaddr)
	}
	n := Segment{At: s.Vaddr + base, Size: s.Memsz, Off: s.Off, Held: s.Filesz}
	for _, f := range []struct {
		flag elf.ProgFlag
		prot uint32
	}{{elf.PF_R, abi.PROT_READ}, {elf.PF_W, abi.PROT_WRITE}, {elf.PF_X, abi.PROT_EXEC}} {
		if s.Flags&f.flag != 0 {
			n.Prot |= f.prot
		}
	}
	if n.At&^space.PageMask < p.End {
		return fmt.Errorf("the segment at %#x overlaps another, or isn't behind it", s.Vaddr)
	}
	p.Segments = append(p.Segments, n)
	p.End = (n.At + n.Size + space.PageMask) &^ space.PageMask
	return nil
}
