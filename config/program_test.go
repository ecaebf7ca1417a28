package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/config/programs"
)

// A program has its defaults, its environment in one order, and its image among the files.
func TestPrograms(t *testing.T) {
	s, problems := Parse("wherry.yaml", []byte(`programs:
  hello: {image: ./hello, files: ./site, args: [a, 2], env: {B: x y, A: 1}, secrets: {KEY: ./key, KEPT: "secret:abcdefghijklmnopqrstuvwxyz"}, limits: {wall: 2s}}
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
	if got, want := s.Files(), (FileRef{"./key", FileSecret, "programs.hello.secrets.KEY", 2, 92}); !slices.Contains(got, want) {
		t.Errorf("files %v, want %v among them", got, want)
	}
	if got, want := s.Files(), (FileRef{"./site", FileFiles, "programs.hello.files", 2, 34}); !slices.Contains(got, want) {
		t.Errorf("files %v, want %v among them", got, want)
	}
	if r := s.Sites[0].Rule("GET", "/x"); r == nil || r.Program != "hello" {
		t.Errorf("rule %+v", r)
	}
}

// What is wrong with files, and which of the keys don't go together, is said at their lines.
func TestProgramFiles(t *testing.T) {
	for _, tt := range []struct{ program, want string }{
		{"image: ./hello, files: ./site", ""},
		{"image: ./root.tar, executable: /usr/sbin/nginx", ""},
		{"image: ./hello, files: ''", `wherry.yaml:2:34: programs.hello.files: "" is not the path of a directory; write one such as ./files`},
		{"image: ./hello, files: 'sha256:00'", `wherry.yaml:2:34: programs.hello.files: "sha256:00" is not the path of a directory; leave it out: an image that is named by its hash has its files in it`},
		{"image: ./root.tar, executable: /usr/", `wherry.yaml:2:42: programs.hello.executable: "/usr/" is not the path of a file in an image; write one such as /usr/sbin/nginx`},
		{"image: ./hello, files: ./site, executable: x", "wherry.yaml:2:54: programs.hello.executable: doesn't go with files: image is the program; remove one of them"},
		{"image: 'sha256:" + strings.Repeat("0", 64) + "', files: ./site", "wherry.yaml:2:100: programs.hello.files: doesn't go with an image that is named by its hash, which has its files in it; " +
			"remove it, or have image name the file of the program"},
	} {
		_, problems := Parse("wherry.yaml", []byte("programs:\n  hello: {"+tt.program+"}\nsites: [{name: shop, hosts: [shop.test], rules: [{name: all, program: hello}]}]\n"))
		var got string
		if problems.Err() != nil {
			got = problems.Err().Error()
		}
		if got != tt.want {
			t.Errorf("%s:\n%s, want\n%s", tt.program, got, tt.want)
		}
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
