package diff

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestUnified(t *testing.T) {
	before := "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\n"
	after := "a\nB\nc\nd\ne\nf\ng\nh\ni\nj\nl\nm\n"
	want := "--- x\n+++ y\n@@ -1,5 +1,5 @@\n a\n-b\n+B\n c\n d\n e\n@@ -8,5 +8,5 @@\n h\n i\n j\n-k\n l\n+m\n"
	if got := Unified("x", "y", before, after); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := Unified("x", "y", before, before); got != "" {
		t.Errorf("no difference: %q", got)
	}
	if got := Unified("x", "y", "", "a\n"); got != "--- x\n+++ y\n@@ -0,0 +1,1 @@\n+a\n" {
		t.Errorf("%q", got)
	}
}

// patch makes one text of the other.
func TestPatchTakesIt(t *testing.T) {
	if _, err := exec.LookPath("patch"); err != nil {
		t.Skip("no patch(1) here")
	}
	dir := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		line := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		text := func(name string) string {
			return strings.Join(rapid.SliceOfN(line, 1, 40).Draw(rt, name), "\n") + "\n"
		}
		before, after := text("before"), text("after")
		if before == after {
			return
		}
		file := filepath.Join(dir, "f")
		if err := os.WriteFile(file, []byte(before), 0o600); err != nil {
			rt.Fatal(err)
		}
		cmd := exec.Command("patch", "-s", file)
		cmd.Stdin = strings.NewReader(Unified("f", "f", before, after))
		if out, err := cmd.CombinedOutput(); err != nil {
			rt.Fatalf("%v: %s", err, out)
		}
		if got, _ := os.ReadFile(file); string(got) != after {
			rt.Fatalf("got %q, want %q", got, after)
		}
	})
}
