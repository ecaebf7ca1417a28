package vdso

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"
)

// find looks a function up as musl does (src/internal/vdso.c): all symbols of the object, by name and version.
func find(t *testing.T, object []byte, name, version string) (uint64, bool) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	at := map[elf.DynTag]uint64{}
	for _, p := range f.Progs {
		if p.Type != elf.PT_DYNAMIC {
			continue
		}
		for d := object[p.Vaddr:]; elf.DynTag(le.Uint64(d)) != elf.DT_NULL; d = d[16:] {
			at[elf.DynTag(le.Uint64(d))] = le.Uint64(d[8:])
		}
	}
	text := func(off uint32) string {
		b, _, _ := bytes.Cut(object[at[elf.DT_STRTAB]+uint64(off):], []byte{0})
		return string(b)
	}
	index := uint16(0)
	for d := at[elf.DT_VERDEF]; ; d += uint64(le.Uint32(object[d+16:])) {
		aux := d + uint64(le.Uint32(object[d+12:]))
		if le.Uint16(object[d+2:])&1 == 0 && le.Uint32(object[d+8:]) == hash(version) && text(le.Uint32(object[aux:])) == version {
			index = le.Uint16(object[d+4:])
		}
		if le.Uint32(object[d+16:]) == 0 {
			break
		}
	}
	symbols := at[elf.DT_HASH] + 4 // nchain
	for i := range uint64(le.Uint32(object[symbols:])) {
		var s elf.Sym64
		if err := binary.Read(bytes.NewReader(object[at[elf.DT_SYMTAB]+i*elf.Sym64Size:]), le, &s); err != nil {
			t.Fatal(err)
		}
		if text(s.Name) == name && s.Shndx != 0 && index != 0 && le.Uint16(object[at[elf.DT_VERSYM]+2*i:]) == index {
			return s.Value, true
		}
	}
	return 0, false
}

func TestRuntimesFindTheFunctions(t *testing.T) {
	object := Object()
	if len(object) != PageSize {
		t.Fatalf("%d bytes", len(object))
	}
	seen := map[uint64]bool{}
	for _, name := range []string{"__vdso_clock_gettime", "__vdso_gettimeofday", "__vdso_time", "__vdso_clock_getres"} {
		at, ok := find(t, object, name, "LINUX_2.6")
		if !ok || at < codeAt || seen[at] {
			t.Errorf("%s is at %#x, %v", name, at, ok)
		}
		seen[at] = true
		if _, ok := find(t, object, name, "LINUX_3"); ok {
			t.Errorf("%s is there in a version that isn't", name)
		}
	}
	if _, ok := find(t, object, "__vdso_getcpu", "LINUX_2.6"); ok {
		t.Error("a function is there that isn't")
	}
	// Go's runtime compares with this number (runtime/vdso_linux_amd64.go).
	if hash("LINUX_2.6") != 0x3ae75f6 {
		t.Errorf("the version's hash is %#x", hash("LINUX_2.6"))
	}
}

func TestPartsDontOverlap(t *testing.T) {
	text, functions := assemble()
	names := 1 + len(objectName) + 1 + len(versionName) + 1
	for _, f := range functions {
		names += len(f.name) + 1
	}
	n := len(functions) + 1
	for _, part := range []struct{ at, size, end int }{
		{headerSize, 2 * segmentSize, dynamicAt},
		{dynamicAt, 16 * len(dynamic(0, 0)), hashAt},
		{hashAt, 4 * len(hashTable(n)), symbolsAt},
		{symbolsAt, n * elf.Sym64Size, stringsAt},
		{stringsAt, names, versionAt},
		{versionAt, 2 * n, defineAt},
		{defineAt, 2 * (defineSize + nameSize), codeAt},
		{codeAt, len(text), PageSize},
	} {
		if part.at+part.size > part.end {
			t.Errorf("%d bytes at %#x reach over %#x", part.size, part.at, part.end)
		}
	}
}

func TestPageIsReadAsItWasWritten(t *testing.T) {
	b := make([]byte, PageBytes)
	for i, p := range []Page{{}, {On: true, Counter: 1, Rate: 2, Monotonic: 3, RealOffset: -4}} {
		if p.Put(b); Get(b) != p || le.Uint64(b) != uint64(i+1) {
			t.Errorf("%+v was read as %+v", p, Get(b))
		}
	}
}

func TestTimeIsLinear(t *testing.T) {
	p := Page{Counter: 1000, Rate: RateOne / 2, Monotonic: 7}
	for counter, want := range map[uint64]int64{1000: 7, 1001: 7, 1002: 8, 3000: 1007, 999: 7, 1000 + 1<<60: 7 + 1<<59} {
		if got := p.At(counter); got != want {
			t.Errorf("at %d: %d, not %d", counter, got, want)
		}
	}
}
