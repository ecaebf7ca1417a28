package vdso

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// Names of the object and of its functions' version, which runtimes ask for.
const (
	objectName  = "linux-vdso.so.1"
	versionName = "LINUX_2.6"
	// versionIndex is the version's in .gnu.version; 1 is the object's own name's.
	versionIndex = 2
)

// Where the parts of the object are. The code comes last.
const (
	dynamicAt = 0x100
	hashAt    = 0x200
	symbolsAt = 0x280
	stringsAt = 0x380
	versionAt = 0x440
	defineAt  = 0x480
	codeAt    = 0x500
)

// Sizes of the headers (elf(5)).
const (
	headerSize  = 64
	segmentSize = 56
	defineSize  = 20 // Elf64_Verdef
	nameSize    = 8  // Elf64_Verdaux
)

// strings is a table of names that end with a zero.
type strings struct{ b []byte }

func (s *strings) add(name string) uint32 {
	at := len(s.b)
	s.b = append(append(s.b, name...), 0)
	return uint32(at)
}

// function is one of the object's.
type function struct {
	name      string
	at, bytes int
}

// assemble makes the code, and says where each function is.
func assemble() ([]byte, []function) {
	c := &code{start: codeAt, labels: map[string]int{}}
	list := []function{{name: "__vdso_clock_gettime"}, {name: "__vdso_gettimeofday"}, {name: "__vdso_time"}, {name: "__vdso_clock_getres"}}
	for i, make := range []func(){c.clockGettime, c.gettimeofday, c.time, c.clockGetres} {
		list[i].at = codeAt + len(c.b)
		make()
		list[i].bytes = codeAt + len(c.b) - list[i].at
	}
	c.link()
	return c.b, list
}

// Object is the shared object: PageSize bytes, to be mapped with PROT_READ and PROT_EXEC behind the data page.
func Object() []byte {
	text, functions := assemble()
	names := &strings{b: []byte{0}}
	object, version := names.add(objectName), names.add(versionName)
	symbols := []elf.Sym64{{}}
	versions := []uint16{0}
	for _, f := range functions {
		symbols = append(symbols, elf.Sym64{
			Name: names.add(f.name), Info: elf.ST_INFO(elf.STB_GLOBAL, elf.STT_FUNC), Shndx: definedSection, Value: uint64(f.at), Size: uint64(f.bytes),
		})
		versions = append(versions, versionIndex)
	}
	o := make(object64, PageSize)
	o.put(0, header())
	o.put(headerSize, segments(codeAt+len(text)))
	o.put(dynamicAt, dynamic(object, len(names.b)))
	o.put(hashAt, hashTable(len(symbols)))
	o.put(symbolsAt, symbols)
	o.put(stringsAt, names.b)
	o.put(versionAt, versions)
	o.put(defineAt, definitions(object, version))
	o.put(codeAt, text)
	return o
}

// definedSection is any section's number: symbols of section 0 are those that an object wants of others.
const definedSection = 1

type object64 []byte

func (o object64) put(at int, v any) {
	var b bytes.Buffer
	_ = binary.Write(&b, le, v) // a Buffer takes all, and v has a fixed size
	copy(o[at:], b.Bytes())
}

func header() elf.Header64 {
	h := elf.Header64{
		Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT), Phoff: headerSize, Ehsize: headerSize, Phentsize: segmentSize,
		Phnum: 2,
	}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	return h
}

func segments(end int) []elf.Prog64 {
	size := uint64(end)
	return []elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Filesz: size, Memsz: size, Align: PageSize},
		{Type: uint32(elf.PT_DYNAMIC), Flags: uint32(elf.PF_R), Off: dynamicAt, Vaddr: dynamicAt, Filesz: hashAt - dynamicAt, Memsz: hashAt - dynamicAt, Align: 8},
	}
}

func dynamic(object uint32, names int) []elf.Dyn64 {
	return []elf.Dyn64{
		{Tag: int64(elf.DT_SONAME), Val: uint64(object)},
		{Tag: int64(elf.DT_HASH), Val: hashAt},
		{Tag: int64(elf.DT_SYMTAB), Val: symbolsAt},
		{Tag: int64(elf.DT_SYMENT), Val: elf.Sym64Size},
		{Tag: int64(elf.DT_STRTAB), Val: stringsAt},
		{Tag: int64(elf.DT_STRSZ), Val: uint64(names)},
		{Tag: int64(elf.DT_VERSYM), Val: versionAt},
		{Tag: int64(elf.DT_VERDEF), Val: defineAt},
		{Tag: int64(elf.DT_VERDEFNUM), Val: 2},
		{Tag: int64(elf.DT_NULL)},
	}
}

// hashTable has one bucket with all symbols in a chain (System V ABI, hash table): there are few.
func hashTable(symbols int) []uint32 {
	table := []uint32{1, uint32(symbols), 1, 0}
	for i := 1; i < symbols; i++ {
		next := uint32(i + 1)
		if i == symbols-1 {
			next = 0
		}
		table = append(table, next)
	}
	return table
}

// hash is a name's, of DT_HASH and of versions.
func hash(name string) uint32 {
	var h uint32
	for _, c := range []byte(name) {
		h = h<<4 + uint32(c)
		high := h & 0xf000_0000
		h = (h ^ high>>24) &^ high
	}
	return h
}

// define is an Elf64_Verdef with its Elf64_Verdaux.
type define struct {
	Version, Flags, Index, Count uint16
	Hash, Aux, Next              uint32
	Name, NameNext               uint32
}

// definitions are the object's own name, which has to be there, and the version.
func definitions(object, version uint32) []define {
	const base = 1 // VER_FLG_BASE
	return []define{
		{Version: 1, Flags: base, Index: 1, Count: 1, Hash: hash(objectName), Aux: defineSize, Next: defineSize + nameSize, Name: object},
		{Version: 1, Index: versionIndex, Count: 1, Hash: hash(versionName), Aux: defineSize, Name: version},
	}
}
