package config

import (
	"slices"
	"testing"
	"time"

	"github.com/wherry/wherry/config/programs"
)

// A program has its defaults, its environment in one order, and its image among the files.
func TestPrograms(t *testing.T) {
	s, problems := Parse("wherry.yaml", []byte(`programs:
  hello: {image: ./hello, args: [a, 2], env: {B: x y, A: 1}, limits: {wall: 2s}}
sites: [{name: shop, hosts: [shop.test], rules: [{name: all, program: hello}]}]
`))
	if s == nil || len(problems) > 0 {
		t.Fatal(problems)
	}
	p := s.Programs["hello"]
	if got := p.Environment(); !slices.Equal(got, []string{"A=1", "B=x y"}) {
		t.Errorf("environment %q", got)
	}
	if !slices.Equal(p.Args, []string{"a", "2"}) || p.Isolation != "request" || p.Memory != 128<<20 {
		t.Errorf("%+v", p)
	}
	if want := (programs.Quota{CPU: 50 * time.Millisecond, Wall: 2 * time.Second, Input: 1 << 20, Output: 4 << 20, Concurrency: 16, Subrequests: 32, Idle: time.Minute}); p.Limits != want {
		t.Errorf("limits %+v, want %+v", p.Limits, want)
	}
	if got, want := s.Files(), (FileRef{"./hello", FileImage, "programs.hello.image", 2, 18}); !slices.Contains(got, want) {
		t.Errorf("files %v, want %v among them", got, want)
	}
	if r := s.Sites[0].Rule("GET", "/x"); r == nil || r.Program != "hello" {
		t.Errorf("rule %+v", r)
	}
}
