//go:build linux

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A program goes to the edges with its files; other files are another image; a plain program after an archive needs nothing of it.
func TestProgramsAreDeployedWithFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pages := filepath.Join(dir, "pages")
	cmd := exec.Command("go", "build", "-ldflags=-s", "-o", pages, "./testdata/guest/pages")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	site := func(page string) string {
		site := t.TempDir()
		for _, name := range []string{"etc/greeting", "www/hello"} {
			name = filepath.Join(site, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(page), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return site
	}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") }))
	defer origin.Close()
	l := startLab(t, "--control", "1", "--edges", "2", "--dns", "0")
	l.must("apply", "--emergency", "-f", l.write("shop.yaml", "name: shop\nhosts: [shop.test]\norigins: [{url: \""+origin.URL+"\"}]\n"))

	text := l.must("program", "deploy", "pages", pages, "--files", site("first"), "--site", "shop", "--path", "/hello", "--emergency")
	l.bothAnswer("first", text)
	text = l.must("program", "deploy", "pages", pages, "--files", site("second"), "--emergency")
	l.bothAnswer("second", text)

	root := site("third")
	if err := os.MkdirAll(filepath.Join(root, "usr/sbin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(root, "usr/sbin"), os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	text, err := l.run("program", "deploy", "pages", root, "--executable", "/usr/sbin/nothing", "--emergency")
	if err == nil || !strings.Contains(text, "it has /usr/sbin/pages") || !strings.Contains(text, "nothing was changed") {
		t.Errorf("a program that isn't in it: %v %s", err, text)
	}
	text = l.must("program", "deploy", "pages", root, "--executable", "/usr/sbin/pages", "--emergency")
	l.bothAnswer("third", text)
	text = l.must("program", "deploy", "pages", pages, "--files", site("fourth"), "--emergency")
	l.bothAnswer("fourth", text)
	if settings := l.must("site", "show", "network"); strings.Contains(settings, "executable") {
		t.Errorf("what was said of another image stays:\n%s", settings)
	}
}
