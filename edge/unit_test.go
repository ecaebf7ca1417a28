package edge

import (
	"testing"
)

func TestRequestIDsAreUnique(t *testing.T) {
	ids, err := newRequestIDs()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 10_000 {
		id := ids.next()
		if len(id) != 24 || seen[id] {
			t.Fatalf("id %q comes twice or is malformed", id)
		}
		seen[id] = true
	}
	other, err := newRequestIDs()
	if err != nil {
		t.Fatal(err)
	}
	if id := other.next(); seen[id] || id[:8] == ids.next()[:8] {
		t.Errorf("two processes share the prefix of %s", id)
	}
}

func TestPrefersHTML(t *testing.T) {
	for accept, want := range map[string]bool{
		"":    false,
		"*/*": false,
		"text/html,application/xhtml+xml,*/*;q=0.8": true,
		"text/html;q=0":                       false,
		"text/html;q=0.5, text/plain":         false,
		"text/plain;q=0.5, Text/HTML;level=1": true,
		"text/html;q=x":                       false,
	} {
		if got := prefersHTML([]string{accept}); got != want {
			t.Errorf("%q: %t", accept, got)
		}
	}
}

func TestMemberName(t *testing.T) {
	for node, want := range map[string]string{"lisbon-1": "lisbon-1", "1st": `"1st"`} {
		if got := memberName(node); got != want {
			t.Errorf("%s: %s", node, got)
		}
	}
}

// The names of the steps are words of logs, traces and docs, so each stands in the package's documentation.
func TestStepNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range steps() {
		if s.name == "" || s.do == nil || seen[s.name] {
			t.Errorf("step %q is unnamed, empty or there twice", s.name)
		}
		seen[s.name] = true
	}
}
