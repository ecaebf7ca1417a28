package config

import (
	"os"
	"path/filepath"
	"testing"
)

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/parse/*.yaml")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("sites: [" + shop + "]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, problems := Parse("f", data)
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.What == "" || p.Instead == "" {
				t.Errorf("problem without place, reason or advice: %#v", p)
			}
		}
		if (s == nil) != (problems.Err() != nil) {
			t.Fatalf("snapshot %v with errors %v", s, problems.Err())
		}
		if s == nil {
			return
		}
		if again, _ := Parse("g", data); again == nil || again.Revision != s.Revision {
			t.Error("the same file parses differently")
		}
		for i := range s.Sites {
			for _, pattern := range s.Sites[i].Hosts {
				host := Host(pattern)
				if pattern != "*" && pattern[0] == '*' {
					host = "any" + host[1:]
				}
				if site, by := s.Site(host); pattern != "*" && (site == nil || by != pattern && by[0] == '*') {
					t.Errorf("%s is claimed by %q, not %q", host, by, pattern)
				}
			}
		}
	})
}
