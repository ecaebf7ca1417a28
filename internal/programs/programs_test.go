package programs

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/wherry/wherry/compute/apart"
	"github.com/wherry/wherry/compute/image"
	"github.com/wherry/wherry/config"
)

// TestMain is a monitor where it is started as one.
func TestMain(m *testing.M) {
	if !apart.Started() {
		os.Exit(m.Run())
	}
	_ = apart.Monitor() // who started it sees that it ends
}

func TestProblems(t *testing.T) {
	t.Run("inside", func(t *testing.T) { testProblems(t, nil) })
	t.Run("apart", func(t *testing.T) { testProblems(t, []string{"monitor"}) })
}

// What can't be used is said at the line that names it: each of them, and nothing has changed then.
func testProblems(t *testing.T, monitor []string) {
	dir := t.TempDir()
	file := filepath.Join(dir, "wherry.yaml")
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "elf"), []byte("\x7fELF"), 0o600); err != nil {
		t.Fatal(err)
	}
	hash, err := image.Open(filepath.Join(dir, image.Dir)).Put([]byte("no program either"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{File: file, State: dir, Log: slog.New(slog.DiscardHandler), Monitor: monitor})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	prepare := func(images ...string) string {
		t.Helper()
		var text, rules strings.Builder
		for i, name := range images {
			letter := string(rune('a' + i))
			text.WriteString("  " + letter + ": {image: \"" + name + "\"}\n")
			rules.WriteString("{name: " + letter + ", match: {paths: [/" + letter + "]}, program: " + letter + "}, ")
		}
		snapshot, problems := config.Parse(file, []byte("programs:\n"+text.String()+"sites: [{name: shop, hosts: [shop.test], rules: ["+rules.String()+"]}]\n"))
		if snapshot == nil {
			t.Fatal(problems)
		}
		_, err := s.Prepare(t.Context(), snapshot)
		var all config.Problems
		if !errors.As(err, &all) {
			t.Fatalf("%v is no list of problems", err)
		}
		return strings.ReplaceAll(err.Error(), dir, "DIR")
	}
	for _, tt := range []struct {
		images []string
		want   []string
	}{
		{[]string{"./missing", "sha256:" + image.Sum(nil)}, []string{
			"DIR/wherry.yaml:2:14: programs.a.image: ./missing can't be used: no such file or directory",
			"DIR/wherry.yaml:3:14: programs.b.image: sha256:" + image.Sum(nil) + " can't be used: this node hasn't got the image",
		}},
		{[]string{"./text", "sha256:" + hash}, []string{
			"DIR/wherry.yaml:2:14: programs.a.image: ./text can't be used: not an ELF file",
			"DIR/wherry.yaml:3:14: programs.b.image: sha256:" + hash + " can't be used: not an ELF file",
		}},
		{[]string{"."}, []string{"DIR/wherry.yaml:2:14: programs.a.image: . can't be used: the image has no program: no ELF file that may be executed"}},
		{[]string{"./elf\", files: \"./text"}, []string{"DIR/wherry.yaml:2:30: programs.a.files: ./text can't be used: not a directory; name a directory, from that of the configuration"}},
		{[]string{"./text\", files: \"."}, []string{"DIR/wherry.yaml:2:14: programs.a.image: ./text can't be used: it is no ELF file, which is what goes with files"}},
	} {
		lines := strings.Split(prepare(tt.images...), "\n")
		if len(lines) != len(tt.want) {
			t.Errorf("%v:\n%s", tt.images, strings.Join(lines, "\n"))
			continue
		}
		for i, want := range tt.want {
			if !strings.HasPrefix(lines[i], want) {
				t.Errorf("%v: %q, want %q", tt.images, lines[i], want)
			}
		}
	}
	if len(s.Status()) > 0 {
		t.Errorf("there are programs: %v", s.Status())
	}
}
