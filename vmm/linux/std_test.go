package linux

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/vmm"
)

// TestGoStandardLibrary runs tests of Go's own packages as guests: they know better than we do what must hold.
func TestGoStandardLibrary(t *testing.T) {
	packages := []string{"container/heap", "unicode/utf8"}
	if os.Getenv("WHERRY_SOAK") != "" {
		packages = append(packages, "sort", "strings", "bytes", "encoding/json", "math", "math/big", "crypto/sha256", "sync", "sync/atomic", "strconv",
			"internal/runtime/maps", "internal/runtime/atomic", "text/template", "regexp", "time", "context", "bufio")
	}
	for _, pkg := range packages {
		t.Run(pkg, func(t *testing.T) {
			file := build(t, "test "+pkg, goStatic, "go", "test", "-c", "-o", "OUTPUT", pkg)
			onAll(t, func(t *testing.T, newMachine func() vmm.Machine) {
				// Those that are skipped start other processes.
				o := Options{Args: []string{"test", "-test.short", "-test.skip=TestMutexMisuse|TestIssue76126"}, Memory: 1 << 30, Limits: Limits{Wall: 20 * time.Minute}}
				r := runGuest(t, newMachine(), file, o, "")
				if r.stop.Kind != Exited || r.stop.Status != 0 || !strings.HasSuffix(r.out, "PASS\n") {
					t.Errorf("stop %+v\n%s", r.stop, r.out[max(0, len(r.out)-3000):])
				}
			})
		})
	}
}
