package linux

import (
	"os"
	"strings"
	"testing"

	host "golang.org/x/sys/cpu"
)

func TestSignalsAreLinuxs(t *testing.T) {
	for _, compiler := range []string{"musl-gcc", "gcc"} {
		t.Run(compiler, func(t *testing.T) {
			same(t, buildC(t, compiler, "signals", "-pthread", "-O1"), []string{"signals"}, "")
		})
	}
}

// TestUpperHalvesAreKept: a signal's frame has them, handlers and other threads leave them.
func TestUpperHalvesAreKept(t *testing.T) {
	if !host.X86.HasAVX2 {
		t.Skip("this processor has no AVX2 to compare with")
	}
	same(t, buildC(t, "gcc", "wide", "-pthread", "-O1"), []string{"wide"}, "")
}

func TestMemoryIsLinuxs(t *testing.T) {
	same(t, buildC(t, "gcc", "memory"), []string{"memory"}, "")
}

func TestWholeWrites(t *testing.T) {
	same(t, buildC(t, "gcc", "whole", "-pthread"), []string{"whole"}, "")
}

func TestBusybox(t *testing.T) {
	const busybox = "/bin/busybox"
	if _, err := os.Stat(busybox); err != nil {
		t.Skip("no static busybox here; tools/setup.sh installs it")
	}
	text := strings.Repeat("the quick brown fox\njumps over\nthe lazy dog 17\n", 300)
	for _, c := range []string{
		"sort", "sha256sum", "md5sum", "wc", "gzip -c", "bzip2 -c", "uniq -c", "rev", "tac", "od -c", "base64", "head -n 5", "tail -n 3", "cut -d~ -f1", "tr a-z A-Z",
		"awk|{n[$1]+=length($0)} END {for (k in n) print k, n[k]; printf \"%.6f %s\\n\", sin(1), toupper(\"x\")}", "sed|s/o\\(.\\)/<\\1>/g", "grep -c qu",
		"sh -c|i=0; s=0; while [ $i -lt 300 ]; do i=$((i+1)); s=$((s+i*i)); done; echo $s; read a b; echo \"$b $a\"", "expr 6 * 7", "seq 1 3 20", "factor 123456789",
		"printf %s-%d\\n x 12", "echo hello", "false", "date -u -d @86400", "dd bs=1000 count=3", "cat", "xxd", "crc32", "fold -w 7", "paste - -", "nl",
	} {
		t.Run(c, func(t *testing.T) {
			command, script, _ := strings.Cut(c, "|")
			args := append([]string{"busybox"}, strings.Fields(command)...)
			if script != "" {
				args = append(args, script)
			}
			same(t, busybox, args, text)
		})
	}
}

// TestBusyboxOnItsOwnInput is of applets that want more than text.
func TestBusyboxOnItsOwnInput(t *testing.T) {
	const busybox = "/bin/busybox"
	if _, err := os.Stat(busybox); err != nil {
		t.Skip("no static busybox here; tools/setup.sh installs it")
	}
	t.Cleanup(func() { _ = os.Remove("/tmp/wherry-guest-test") }) // the native shell's
	text := strings.Repeat("a line that is packed\n", 500)
	for _, c := range []struct{ pack, applet, input string }{
		{applet: "bc -l", input: "scale=40\n4*a(1)\ne(1)\ndefine f(n) { if (n < 2) return 1; return n*f(n-1) }\nf(40)\n2^200 % 1000007\n"},
		{applet: "dc", input: "30k 2v p 16o 255 p\n"},
		{applet: "gzip -dc", pack: "gzip -c", input: text},
		{applet: "bzip2 -dc", pack: "bzip2 -c", input: text},
		{applet: "xxd -r", pack: "xxd", input: text},
		{applet: "base64 -d", pack: "base64", input: text},
		{applet: "sh", input: "cd /tmp; for i in 1 2 3; do echo line $i; done > wherry-guest-test; while read a b; do echo $b-$a; done < wherry-guest-test\n" +
			"test -s wherry-guest-test && echo there; f() { local x=$1; [ $x -gt 1 ] && { f $((x-1)); echo $x; }; }; f 5; exit 3\n"},
	} {
		t.Run(c.applet, func(t *testing.T) {
			if c.pack != "" {
				c.input, _ = native(t, busybox, append([]string{"busybox"}, strings.Fields(c.pack)...), c.input)
			}
			same(t, busybox, append([]string{"busybox"}, strings.Fields(c.applet)...), c.input)
		})
	}
}
