package config

import (
	"fmt"
	"strings"
	"testing"
)

const shop = `{name: shop, hosts: [shop.test], origins: [{url: "http://127.0.0.1:9000"}]}`

// TestBounds feeds files that are small to write and large to work on.
func TestBounds(t *testing.T) {
	laughs := "dns: {nameservers: &a0 [{name: ns.example.net}]}\nsites:\n"
	laughs += "- name: a\n  hosts: &h [" + strings.Repeat("a.test, ", 5000) + "b.test]\n  origins: [{url: \"http://127.0.0.1:1\"}]\n"
	for i := range 100 {
		laughs += fmt.Sprintf("- {name: s%d, hosts: *h, origins: []}\n", i)
	}
	merges := "sites:\n- &m0 {name: m}\n"
	for i := 1; i < 30; i++ {
		merges += fmt.Sprintf("- &m%d {<<: [*m%d, *m%d]}\n", i, i-1, i-1)
	}
	var rules strings.Builder
	rules.WriteString("sites:\n- name: a\n  hosts: [a.test]\n  origins: [{url: \"http://127.0.0.1:1\"}]\n  rules:\n")
	for i := range 5000 {
		fmt.Fprintf(&rules, "  - {name: r%d, match: {paths: [/a%d, /b%d, /c%d]}}\n", i, i, i, i)
	}
	tests := []struct {
		name, text, want string
	}{
		{"file", "# " + strings.Repeat("x", FileSizeMax), "the file has 5242882 bytes, more than 5MiB"},
		{"nesting", "sites: " + strings.Repeat("[", 500) + strings.Repeat("]", 500), "nested more than 64 deep"},
		{"nesting beyond the parser", strings.Repeat("[", 20_000), "not YAML: exceeded max depth"},
		{"entries", "sites: [" + strings.Repeat("{},", 20_000) + "]", "has 20000 entries"},
		{"aliases", laughs, "the aliases stand for more than 100000 values"},
		{"merge keys", merges, "merge keys lead to merge keys without end"},
		{"problems", "sites: [" + strings.Repeat("{},", 5000) + "]", "further problems are not listed"},
		{"unknown keys", strings.Repeat("k: &a [1]\n", 50_000), "further problems are not listed"},
		{"not UTF-8", "sites:\n- \xff\xfe", "f:2:3: the file is not UTF-8; save it as UTF-8 text"},
		{"many rules", rules.String(), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, problems := Parse("f", []byte(test.text))
			if len(problems) > problemsMax+1 {
				t.Errorf("%d problems", len(problems))
			}
			if test.want == "" {
				if s == nil || len(problems) > 0 {
					t.Fatalf("problems: %.500s", problems.Error())
				}
				return
			}
			if s != nil || !strings.Contains(problems.Error(), test.want) {
				t.Errorf("snapshot %t, problems %.500s; want %q", s != nil, problems.Error(), test.want)
			}
		})
	}
}

func TestManyWarningsDoNotFail(t *testing.T) {
	var text strings.Builder
	text.WriteString("sites:\n- name: a\n  hosts: [a.test]\n  origins: [{url: \"http://127.0.0.1:1\"}]\n  rules:\n  - {name: all}\n")
	for i := range problemsMax + 10 {
		fmt.Fprintf(&text, "  - {name: r%d}\n", i)
	}
	s, problems := Parse("f", []byte(text.String()))
	if s == nil || problems.Err() != nil {
		t.Fatalf("warnings alone failed the file: %.300s", problems.Err())
	}
	if errors, warnings := problems.Count(); errors != 0 || warnings != problemsMax+1 {
		t.Errorf("%d errors, %d warnings", errors, warnings)
	}
}

func TestRevisionNamesTheContent(t *testing.T) {
	a, _ := Parse("a", []byte("sites: ["+shop+"]"))
	b, _ := Parse("b", []byte("sites: ["+shop+"]"))
	c, _ := Parse("a", []byte("sites: ["+shop+"]\n"))
	if len(a.Revision) != 12 || a.Revision != b.Revision || a.Revision == c.Revision {
		t.Errorf("revisions %s, %s, %s", a.Revision, b.Revision, c.Revision)
	}
}
