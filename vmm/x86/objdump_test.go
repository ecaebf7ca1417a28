package x86

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// slotSize is how far apart the instructions are that objdump is asked about: longer than any, and NOPs between.
const slotSize = 32

// disassembled has objdump tell what each code begins with: its length, or 0 if it is bad, and its text.
func disassembled(t *testing.T, codes [][]byte) (lengths []int, texts []string) {
	t.Helper()
	if _, err := exec.LookPath("objdump"); err != nil {
		t.Skip("objdump isn't installed; tools/setup.sh installs it")
	}
	image := bytes.Repeat([]byte{0x90}, len(codes)*slotSize)
	for i, c := range codes {
		copy(image[i*slotSize:], c)
	}
	name := filepath.Join(t.TempDir(), "code")
	if err := os.WriteFile(name, image, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("objdump", "-D", "-b", "binary", "-m", "i386:x86-64", "-w", "-z", "--insn-width=16", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	lengths, texts = make([]int, len(codes)), make([]string, len(codes))
	for line := range strings.Lines(string(out)) {
		parts := strings.Split(strings.TrimRight(line, "\n"), "\t")
		at, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(parts[0]), ":"), 16, 64)
		if err != nil || len(parts) < 2 || at%slotSize != 0 {
			continue
		}
		i := at / slotSize
		if len(parts) > 2 {
			texts[i] = parts[2]
		}
		if !strings.Contains(texts[i], "(bad)") {
			lengths[i] = len(strings.Fields(parts[1]))
		}
	}
	return lengths, texts
}

// TestLengthsAgainstObjdump decodes random bytes, and compares the lengths of what both know.
func TestLengthsAgainstObjdump(t *testing.T) {
	count := 10_000
	if n, err := strconv.Atoi(os.Getenv("WHERRY_X86_CODES")); err == nil {
		count = n
	}
	random := rand.New(rand.NewPCG(11, 12))
	codes := make([][]byte, count)
	for i := range codes {
		codes[i] = randomCode(random)
	}
	lengths, texts := disassembled(t, codes)
	known := 0
	told := map[string]bool{}
	for i, code := range codes {
		in, err := Decode(code)
		if err != nil || prefixesAlone(texts[i]) {
			continue
		}
		known++
		if int(in.Len) == lengths[i] {
			continue
		}
		what := fmt.Sprint(in.Op, in.Vec, strings.Fields(texts[i] + " ?")[0])
		if !told[what] && !agreed(in, texts[i]) {
			told[what] = true
			t.Errorf("% x: %d bytes (%+v), by objdump %d: %s", code, in.Len, in, lengths[i], texts[i])
		}
	}
	if t.Logf("%d of %d are instructions", known, count); known < count/4 {
		t.Errorf("only %d of %d are instructions", known, count)
	}
}

// prefixesAlone says that objdump took a prefix for an instruction, as it does where one doesn't count.
func prefixesAlone(text string) bool {
	for _, word := range strings.Fields(text) {
		switch {
		case strings.HasPrefix(word, "rex"), strings.HasPrefix(word, "repz"), strings.HasPrefix(word, "repnz"), strings.HasPrefix(word, "data16"),
			strings.HasPrefix(word, "addr32"), word == "cs", word == "ds", word == "es", word == "ss", word == "fs", word == "gs", word == "lock",
			word == "xacquire", word == "xrelease", word == "bnd", word == "notrack":
		default:
			return false
		}
	}
	return true
}

// agreed are the differences that are right: objdump doesn't know everything that processors take (MPX's are NOPs to those without it), it joins FWAIT with what
// follows, and has near branches with the prefix 0x66 as AMD's processors have them.
func agreed(in Inst, text string) bool {
	branch := in.Form == FormI && (in.Op == JMP || in.Op == JCC || in.Op == CALL)
	return strings.Contains(text, "(bad)") || strings.Contains(text, "bnd") || in.Op == X87 && in.Vec == FPUWait || branch
}

// randomCode is up to 15 random bytes, with prefixes and opcodes of which there are more instructions than by chance.
func randomCode(random *rand.Rand) []byte {
	code := make([]byte, 0, InstMax)
	for random.IntN(3) == 0 {
		code = append(code, []byte{0x66, 0x67, 0xf2, 0xf3, 0x2e, 0x64, 0x65, 0xf0}[random.IntN(8)])
	}
	if random.IntN(2) == 0 {
		code = append(code, 0x40|byte(random.IntN(16)))
	}
	switch random.IntN(6) {
	case 2:
		code = append(code, 0xc4, byte(random.IntN(8))<<5|byte(1+random.IntN(3)))
	case 3:
		code = append(code, 0xc5)
	case 0:
		code = append(code, 0x0f)
	case 1:
		code = append(code, 0x0f, []byte{0x38, 0x3a}[random.IntN(2)])
	}
	for len(code) < InstMax {
		code = append(code, byte(random.Uint32()))
	}
	return code
}

func FuzzDecodePrefixes(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) {
		code := randomCode(rand.New(rand.NewPCG(a, b)))
		in, err := Decode(code)
		if err != nil {
			return
		}
		if in.Len == 0 || in.Len > InstMax {
			t.Fatalf("% x: %d bytes", code, in.Len)
		}
		for n := range int(in.Len) {
			if _, err := Decode(code[:n]); !errors.Is(err, ErrShort) {
				t.Fatalf("% x, cut to %d bytes: %v", code[:in.Len], n, err)
			}
		}
		if in.Lock && !in.IsMem {
			t.Fatalf("% x: LOCK without memory", code)
		}
		// A segment override that 64-bit mode ignores changes nothing but the length.
		if again, err := Decode(append([]byte{0x2e}, code[:min(len(code), int(in.Len))]...)); in.Len < InstMax && !in.Mem.RIP {
			if again.Len--; err != nil || again != in {
				t.Fatalf("% x with a prefix: %+v, %v; want %+v", code[:in.Len], again, err, in)
			}
		}
	})
}
