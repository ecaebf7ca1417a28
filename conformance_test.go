package wherry_test

import (
	"go/ast"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestConformanceNamesTests checks that docs/conformance.md says of each row whether it is met, and names tests that are there.
func TestConformanceNamesTests(t *testing.T) {
	tests := map[string]bool{}
	for _, f := range sources(t) {
		for _, decl := range f.ast.Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && f.test() && fn.Recv == nil {
				tests[fn.Name.Name] = true
			}
		}
	}
	doc, err := os.ReadFile("docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`")
	rows := 0
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| section") {
			continue
		}
		rows++
		if len(cells) != 4 {
			t.Errorf("not four cells: %s", line)
			continue
		}
		met, _, _ := strings.Cut(strings.NewReplacer(";", " ", ":", " ", ",", " ").Replace(cells[2]), " ")
		named := name.FindAllStringSubmatch(cells[3], -1)
		if met != "yes" && met != "partial" && met != "no" || met == "partial" && len(named) == 0 || cells[3] == " |" {
			t.Errorf("%q, shown by %q: %s", met, cells[3], line)
		}
		for _, n := range named {
			if !tests[n[1]] {
				t.Errorf("no test is called %s: %s", n[1], line)
			}
		}
	}
	if rows < 50 {
		t.Errorf("%d rows", rows)
	}
}
