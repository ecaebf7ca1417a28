package wherry_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/wherry/wherry"

// plan is the floor plan: each room and the rooms of ours that it may import. ARCHITECTURE.md tells why; change both together,
// with a line in docs/decisions.
var plan = map[string][]string{
	// ground floor: words and tools
	"config":       {"config/programs", "config/spell", "config/typo"},
	"config/spell": {},
	"config/typo":  {},
	"disk":         {},
	"fault":        {},
	"feed":         {"config", "config/programs"},
	"h2":           {},
	"h3":           {},
	"logs":         {},
	"ring":         {},
	"socket":       {},
	"trace":        {},
	// first floor: trades
	"cache":                         {"cache/field", "cache/purges", "cache/store", "fault", "h2", "trace"},
	"certs":                         {"config", "fault"},
	"kv":                            {},
	"mapper":                        {"config"},
	"origin":                        {"config", "fault", "socket", "trace"},
	"cache/field":                   {},
	"cache/store":                   {"cache/field", "cache/storetest", "h2"}, // storetest in tests only
	"cache/storetest":               {"cache/store"},
	"cache/tier":                    {"cache", "cache/purges", "cache/store", "cache/storetest", "disk"}, // cache and storetest in tests only
	"config/explain":                {"config", "config/spell"},
	"config/programs":               {"config/spell"},
	"config/reference":              {"config"},
	"edge/ahead":                    {},
	"edge/gate":                     {},
	"edge/hop":                      {},
	"edge/joint":                    {},
	"edge/stall":                    {},
	"edge/policy":                   {"cache", "cache/field", "cache/purges", "cache/store", "compute", "config", "feed"},
	"edge/tally":                    {"config", "feed"},
	"cache/purges":                  {"cache/store"},
	"overlay/congest":               {"overlay/congest/congestsim"}, // in tests only
	"overlay/route":                 {"config"},
	"overlay/congest/congestsim":    {"overlay/congest"},
	"overlay/route/routesim":        {"config", "overlay/route"},
	"overlay/loss":                  {"overlay/congest", "overlay/wire"},
	"overlay/labels":                {"overlay/udp", "overlay/wire"},
	"overlay/mtu":                   {},
	"overlay/repair":                {},
	"overlay/seal":                  {"overlay/wire"},
	"overlay/spans":                 {},
	"overlay/udp":                   {},
	"overlay/wire":                  {},
	"edge/plain":                    {"h2"},
	"overlay/tunnel":                {"fault", "overlay", "overlay/exchange", "overlay/exchange/exchangetest"}, // overlay and exchangetest in tests only
	"overlay/exchange":              {"fault", "overlay/exchange/exchangetest"},                                // exchangetest in tests only
	"overlay/exchange/exchangetest": {"overlay/exchange"},
	"edge/page":                     {"fault"},
	"vmm":                           {"vmm/phys", "vmm/x86"},
	"vmm/linux":                     {"internal/after", "internal/cputime", "vmm", "vmm/emu", "vmm/kvm", "vmm/linux/abi", "vmm/linux/clock", "vmm/linux/coder", "vmm/linux/file", "vmm/linux/plain", "vmm/linux/program", "vmm/linux/signals", "vmm/linux/space", "vmm/linux/tally", "vmm/linux/trace", "vmm/linux/turn", "vmm/linux/vdso", "vmm/mmu", "vmm/phys", "vmm/x86"}, // emu, kvm in tests only
	"vmm/emu/flags":                 {"vmm/x86"},
	"vmm/emu":                       {"vmm", "vmm/emu/avx", "vmm/emu/code", "vmm/emu/flags", "vmm/emu/integer", "vmm/emu/stops", "vmm/emu/vector", "vmm/emu/x87", "vmm/mmu", "vmm/phys", "vmm/vmmtest", "vmm/x86"}, // vmmtest in tests only
	"vmm/linux/clock":               {"internal/tsc", "vmm/linux/vdso"},
	"vmm/linux/vdso":                {},
	"vmm/linux/turn":                {},
	"vmm/linux/tally":               {"vmm", "vmm/linux/abi"},
	"internal/tsc":                  {},
	"vmm/linux/plain":               {"vmm/linux/abi", "vmm/linux/file", "vmm/linux/space"},
	"vmm/linux/program":             {"vmm/linux/abi", "vmm/linux/space"},
	"vmm/linux/space":               {"vmm", "vmm/linux/abi", "vmm/mmu", "vmm/phys"},
	"vmm/linux/abi":                 {},
	"vmm/linux/file":                {"vmm/linux/abi", "vmm/linux/iovec", "vmm/linux/ledger", "vmm/linux/socket", "vmm/linux/tree"},
	"vmm/backend":                   {"vmm", "vmm/emu", "vmm/kvm", "vmm/phys", "vmm/vmmtest"},                        // vmmtest in tests only
	"vmm/snap":                      {"vmm", "vmm/backend", "vmm/linux", "vmm/linux/file", "vmm/phys", "vmm/rootfs"}, // backend in tests only
	"vmm/rootfs":                    {},
	"examples/programs":             {"compute", "kv", "compute/apart", "vmm/backend", "vmm/rootfs"},
	"compute/stage":                 {"fault"},
	"compute/image":                 {"certs"},
	"compute":                       {"fault", "internal/cputime", "vmm", "vmm/backend", "vmm/linux", "vmm/linux/abi", "vmm/linux/file", "vmm/phys", "vmm/snap"},
	"compute/apart":                 {"compute", "compute/apart/link", "compute/apart/wire", "fault", "internal/confine", "vmm/backend"},
	"compute/apart/link":            {"compute/apart/wire", "ring"},
	"compute/apart/wire":            {"compute", "fault"},
	"internal/confine":              {},
	"internal/after":                {},
	"internal/cputime":              {},
	"internal/garbage":              {},
	"sdk":                           {"compute", "vmm", "vmm/backend", "vmm/linux", "vmm/phys", "vmm/snap"}, // in tests only
	"sdk/go":                        {},
	"internal/program":              {"internal/cputime", "vmm", "vmm/backend", "vmm/debug", "vmm/gdb", "vmm/linux", "vmm/linux/abi", "vmm/linux/trace", "vmm/phys", "vmm/snap", "vmm/rootfs"},
	"internal/program/lines":        {"internal/console", "internal/linkem", "internal/program", "vmm/linux"},
	"vmm/linux/coder":               {},
	"vmm/linux/signals":             {"vmm/linux/abi", "vmm/x86"},
	"vmm/linux/trace":               {"vmm/linux/abi"},
	"vmm/linux/iovec":               {},
	"vmm/linux/ledger":              {"vmm/linux/iovec"},
	"vmm/linux/socket":              {"vmm/linux/abi", "vmm/linux/iovec", "vmm/linux/ledger"},
	"vmm/linux/tree":                {"vmm/linux/abi", "vmm/linux/iovec", "vmm/linux/ledger"},
	"vmm/kvm":                       {"internal/cputime", "internal/tsc", "vmm", "vmm/mmu", "vmm/phys", "vmm/vmmtest", "vmm/x86"}, // vmmtest in tests only
	"vmm/vmmtest":                   {"vmm", "vmm/mmu", "vmm/phys", "vmm/x86"},
	"vmm/emu/asm":                   {"vmm/x86"}, // in tests only
	"vmm/emu/code":                  {"vmm/emu/asm", "vmm/mmu", "vmm/phys", "vmm/x86"},
	"vmm/emu/stops":                 {"vmm", "vmm/phys"},
	"vmm/emu/vector":                {"vmm/x86"},
	"vmm/emu/avx":                   {"vmm/emu/vector", "vmm/x86"},
	"vmm/emu/integer":               {"vmm/x86"},
	"vmm/emu/x87":                   {"vmm/x86"},
	"vmm/debug":                     {"vmm", "vmm/emu", "vmm/linux", "vmm/linux/abi", "vmm/linux/trace", "vmm/phys", "vmm/snap", "vmm/x86"},      // emu in tests only
	"vmm/gdb":                       {"vmm", "vmm/debug", "vmm/emu", "vmm/kvm", "vmm/linux", "vmm/linux/abi", "vmm/phys", "vmm/snap", "vmm/x86"}, // emu, kvm, snap in tests only
	"vmm/mmu":                       {"vmm/phys"},
	"vmm/phys":                      {},
	"vmm/x86":                       {},
	// second floor: stations
	"dns":                {"config", "fault", "mapper"},
	"edge":               {"cache", "cache/field", "cache/store", "compute", "compute/stage", "config", "edge/ahead", "edge/gate", "edge/hop", "edge/joint", "edge/page", "edge/plain", "edge/policy", "edge/stall", "edge/tally", "fault", "feed", "h2", "h3", "logs", "socket", "trace"},
	"control":            {"config", "control/api", "control/diff", "control/images", "control/rollout", "control/store", "fault", "feed", "mesh", "control/vault"},
	"control/diff":       {},
	"control/images":     {"config", "control/api", "control/store", "fault", "feed", "vmm/rootfs"},
	"control/vault":      {"config", "config/programs", "control/api", "control/store", "fault", "feed"},
	"control/rollout":    {"config", "feed"},
	"control/store":      {"config", "feed", "mesh"}, // in tests only
	"control/values":     {"config", "control/store", "feed", "kv", "mesh"},
	"mesh":               {"certs", "config", "feed"},
	"feed/tree":          {"config", "fault", "feed", "feed/tree/treetest"}, // treetest in tests only
	"feed/tree/treetest": {"feed"},
	"control/api":        {"config", "config/programs", "fault", "feed"},
	"overlay":            {"overlay/congest", "overlay/labels", "overlay/loss", "overlay/mtu", "overlay/repair", "overlay/seal", "overlay/spans", "overlay/udp", "overlay/wire"},
	// third floor
	"portal": {"config", "fault", "trace"},
	// roof
	"internal/programs":      {"compute", "compute/image", "config", "config/programs", "fault", "portal", "trace", "vmm/backend", "compute/apart", "vmm/rootfs"},
	"internal/network":       {"compute/stage", "cache", "cache/store", "cache/tier", "certs", "config", "control/api", "disk", "dns", "edge", "fault", "feed", "internal/programs", "logs", "origin", "portal", "trace", "kv"},
	"internal/node/assembly": {"certs", "config", "config/programs", "feed"},
	"cmd/wherry":             {"certs", "config/programs", "internal/programs", "config", "config/explain", "config/reference", "edge", "feed", "internal/console", "internal/doors", "internal/garbage", "internal/handover", "internal/lab", "internal/linkem", "internal/linkem/flows", "internal/linkem/plot", "internal/network", "internal/node", "logs", "portal", "trace", "control/api", "internal/program/lines", "vmm/backend", "kv", "compute/apart", "internal/confine"},
	"internal/node/collect":  {"feed"},
	"internal/node/images":   {"config", "feed"},
	"internal/console/amend": {},
	"origin/parents":         {"config"},
	"internal/guest":         {"config", "control/api", "feed", "internal/links", "mesh", "origin/parents", "overlay", "overlay/tunnel"},
	"internal/links":         {"config", "control/api", "edge", "fault", "feed", "mesh", "origin/parents", "overlay", "overlay/congest", "overlay/exchange", "overlay/route", "overlay/wire", "overlay/tunnel"},
	"internal/handover":      {"feed"},
	"internal/doors":         {"config", "internal/handover", "internal/quicdoor"},
	"internal/node":          {"certs", "config", "control", "control/api", "control/images", "control/rollout", "control/store", "control/values", "edge", "feed", "feed/tree", "internal/doors", "internal/handover", "internal/links", "internal/network", "internal/node/assembly", "internal/programs", "logs", "mesh", "internal/node/collect", "internal/node/images", "compute/image", "fault", "kv"},
	"internal/quicdoor":      {},
	"internal/lab":           {"certs", "config", "control/api", "feed", "internal/node"},
	"internal/console":       {"internal/console/amend", "config", "config/programs", "control/api", "fault", "feed", "internal/guest", "internal/links", "overlay/exchange", "overlay/tunnel", "vmm/rootfs"},
	// beside the house
	"internal/linkem":       {},
	"internal/linkem/flows": {"internal/linkem", "internal/linkem/plot", "overlay", "overlay/congest"},
	"internal/linkem/plot":  {},
	"internal/simnet":       {},
	"internal/testnet":      {"config", "internal/network", "internal/simnet"},
	".":                     {},
}

const (
	functionLinesMax = 70
	fileLinesMax     = 500
	roomLinesMax     = 4000
)

// sourceFile is one Go file of ours, parsed.
type sourceFile struct {
	path string // from the root, with slashes
	room string
	ast  *ast.File
	fset *token.FileSet
}

func (f *sourceFile) test() bool { return strings.HasSuffix(f.path, "_test.go") }

func (f *sourceFile) lines() int { return f.fset.File(f.ast.Pos()).LineCount() }

func sources(t *testing.T) []sourceFile {
	t.Helper()
	var files []sourceFile
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || d.Name() == "bin") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		slashed := filepath.ToSlash(name)
		files = append(files, sourceFile{slashed, path.Dir(slashed), parsed, fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestRoomsImportOnlyWhatThePlanAllows also finds rooms that aren't in the plan, and rooms and arrows in the plan that aren't there.
func TestRoomsImportOnlyWhatThePlanAllows(t *testing.T) {
	seen, used := map[string]bool{}, map[string]bool{}
	for _, f := range sources(t) {
		allowed, ok := plan[f.room]
		if !ok && !strings.HasPrefix(f.room, "bench") && !strings.HasPrefix(f.room, "examples") && f.room != "tools" {
			t.Errorf("%s: room %q isn't in the plan", f.path, f.room)
			continue
		}
		seen[f.room] = true
		for _, spec := range f.ast.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			ours, isOurs := strings.CutPrefix(imported, module+"/")
			used[f.room+" "+ours] = true
			if !isOurs || ok && slices.Contains(allowed, ours) || ours == f.room {
				continue
			}
			if f.test() && ours == "internal/simnet" || strings.HasPrefix(f.room, "bench") || strings.HasPrefix(f.room, "examples") && ours == "sdk/go" {
				continue
			}
			t.Errorf("%s imports %s, which the plan doesn't allow", f.path, ours)
		}
	}
	for room, allowed := range plan {
		if !seen[room] {
			t.Errorf("the plan has a room %q that isn't there", room)
		}
		for _, ours := range allowed {
			if !used[room+" "+ours] {
				t.Errorf("the plan allows %s to import %s, which it doesn't", room, ours)
			}
		}
	}
}

func TestEveryRoomHasADoc(t *testing.T) {
	documented := map[string]bool{}
	for _, f := range sources(t) {
		if path.Base(f.path) == "doc.go" && len(f.ast.Doc.Text()) > 100 {
			documented[f.room] = true
		}
	}
	for room := range plan {
		if !documented[room] && room != "cmd/wherry" {
			t.Errorf("%s has no doc.go that says what it is, what it promises and who runs its goroutines", room)
		}
	}
}

func TestSizes(t *testing.T) {
	rooms := map[string]int{}
	for _, f := range sources(t) {
		if f.test() {
			continue
		}
		rooms[f.room] += f.lines()
		if n := f.lines(); n > fileLinesMax {
			t.Errorf("%s has %d lines, more than %d: it has two concerns", f.path, n, fileLinesMax)
		}
		for _, decl := range f.ast.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			from, to := f.fset.Position(fn.Pos()), f.fset.Position(fn.End())
			if n := to.Line - from.Line + 1; n > functionLinesMax {
				t.Errorf("%s:%d: %s has %d lines, more than %d", f.path, from.Line, fn.Name.Name, n, functionLinesMax)
			}
		}
	}
	for room, lines := range rooms {
		if lines > roomLinesMax {
			t.Errorf("%s has %d lines, more than %d: it has two jobs", room, lines, roomLinesMax)
		}
	}
}
