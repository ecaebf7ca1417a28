package linux

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/linux/file"
)

// needMore are tests of those packages that need what guests haven't: other processes, and a name server.
var needMore = []string{"^TestMutexMisuse$", "^TestIssue76126$", "^TestGCMNoncesFIPS", "^ExampleAfterFunc_connection$"}

// filesOf is what tests of a package open: the directory that go test runs them in, with ../testdata, ../../testdata and ../../lib/time, all from the root on.
func filesOf(t *testing.T, pkg, program string) *file.Image {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	source := filepath.Join(strings.TrimSpace(string(root)), "src")
	tree := fstest.MapFS{}
	for _, from := range [][2]string{{"testdata", "testdata"}, {filepath.Dir(pkg) + "/testdata", "testdata"}, {"../lib/time", "lib/time"}, {pkg, "."}} {
		dir, name := from[0], from[1]
		err := filepath.WalkDir(filepath.Join(source, dir), func(at string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			rest, err := filepath.Rel(filepath.Join(source, dir), at)
			if err == nil {
				tree[path.Join(name, filepath.ToSlash(rest))] = &fstest.MapFile{Data: read(t, at), Mode: 0o644}
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	image, err := file.NewImage(file.ImageOptions{Files: tree, Program: read(t, program)})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// TestGoStandardLibrary runs tests of Go's own packages as guests: they know better than we do what must hold.
func TestGoStandardLibrary(t *testing.T) {
	packages := []string{"container/heap", "unicode/utf8"}
	if os.Getenv("WHERRY_SOAK") != "" {
		packages = append(packages, "sort", "strings", "bytes", "encoding/json", "math", "math/big", "crypto/sha256", "crypto/sha512", "crypto/aes", "crypto/cipher", "hash/crc32",
			"compress/flate", "sync", "sync/atomic",
			"strconv", "internal/runtime/maps", "internal/runtime/atomic", "text/template", "regexp", "time", "context", "bufio")
	}
	for _, pkg := range packages {
		t.Run(pkg, func(t *testing.T) {
			program := build(t, "test "+pkg, goStatic, "go", "test", "-c", "-o", "OUTPUT", pkg)
			onAll(t, func(t *testing.T, newMachine func() vmm.Machine) {
				args := []string{"test", "-test.short", "-test.skip", strings.Join(needMore, "|")}
				o := Options{Args: args, Image: filesOf(t, pkg, program), Memory: 1 << 30, Limits: Limits{Wall: 20 * time.Minute}}
				r := runGuest(t, newMachine(), program, o, "")
				if r.stop.Kind != Exited || r.stop.Status != 0 || !strings.HasSuffix(r.out, "PASS\n") {
					t.Errorf("stop %+v\n%s", r.stop, r.out[max(0, len(r.out)-3000):])
				}
			})
		})
	}
}
