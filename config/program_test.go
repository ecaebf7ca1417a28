package config

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/wherry/wherry/config/programs"
)

// A program has its defaults, its environment in one order, and its image among the files.
func TestPrograms(t *testing.T) {
	s, problems := Parse("wherry.yaml", []byte(`programs:
  hello: {image: ./hello, args: [a, 2], env: {B: x y, A: 1}, secrets: {KEY: ./key, KEPT: "secret:abcdefghijklmnopqrstuvwxyz"}, limits: {wall: 2s}}
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
	if got, want := s.Files(), (FileRef{"./key", FileSecret, "programs.hello.secrets.KEY", 2, 77}); !slices.Contains(got, want) {
		t.Errorf("files %v, want %v among them", got, want)
	}
	if r := s.Sites[0].Rule("GET", "/x"); r == nil || r.Program != "hello" {
		t.Errorf("rule %+v", r)
	}
}

// What is wrong with secrets is said at their lines, and never repeats what may be one.
func TestSecrets(t *testing.T) {
	many := ""
	for i := range programs.SecretsMax + 1 {
		many += fmt.Sprintf("S%d: ./s, ", i)
	}
	for _, tt := range []struct{ program, want string }{
		{"secrets: {A: ./a, B: 12345}", ""},
		{"env: {A: b}, secrets: {A: ./a}", "wherry.yaml:2:67: programs.hello.secrets.A: `env` has A, too; remove one of them"},
		{"secrets: {A-B: ./a}", `wherry.yaml:2:51: programs.hello.secrets.A-B: "A-B" is not the name of a variable; write letters, digits and _, such as LANG`},
		{"secrets: {A: \"secret:abc\"}", "wherry.yaml:2:54: programs.hello.secrets.A: has no name of a secret behind secret:; have `wherry program secret set` write it"},
		{"secrets: {A: \"two\\nlines\"}", "wherry.yaml:2:54: programs.hello.secrets.A: is not the path of a file; write one such as ./api.key, and the secret into that file"},
		{"secrets: {" + many + "}", "wherry.yaml:2:50: programs.hello.secrets: has 65 entries; write at most 64"},
	} {
		_, problems := Parse("wherry.yaml", []byte("programs:\n  hello: {image: ./hello, memory: 1MiB, "+tt.program+"}\n"+
			"sites: [{name: shop, hosts: [shop.test], rules: [{name: all, program: hello}]}]\n"))
		var got string
		if problems.Err() != nil {
			got = problems.Err().Error()
		}
		if got != tt.want {
			t.Errorf("%s:\n%s, want\n%s", tt.program, got, tt.want)
		}
	}
}
