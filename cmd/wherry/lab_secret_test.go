//go:build linux

package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hashing answers with a part of the hash of its secret, and writes the secret to standard error.
const hashing = `sum := sha256.Sum256([]byte(os.Getenv("API_KEY")))
	fmt.Fprintln(os.Stderr, "my key is", os.Getenv("API_KEY"))
	_ = os.Setenv("GREETING", fmt.Sprintf("%x ", sum[:4]))`

// hashed is what a program that is built of hashing and text answers.
func hashed(secret, text string) string {
	sum := sha256.Sum256([]byte(secret))
	return fmt.Sprintf("%x ", sum[:4]) + text
}

// A secret reaches programs on edges by roll-outs, comes back by a rollback, outlives a restart without control, and stands nowhere else.
func TestSecretsOfPrograms(t *testing.T) {
	t.Parallel()
	first, second, third := "first-secret-0123456789", "second-secret-0123456789", "third-secret-0123456789"
	program := buildAnswering(t, hashing, "program")
	crashes := buildAnswering(t, hashing+"\n\tpanic(os.Getenv(\"API_KEY\"))", "crash")
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") }))
	defer origin.Close()
	l := startLab(t, "--control", "1", "--edges", "2", "--dns", "1")
	var said strings.Builder // all that commands print
	must := func(args ...string) string {
		t.Helper()
		text := l.must(args...)
		said.WriteString(text)
		return text
	}
	must("apply", "--emergency", "-f", l.write("shop.yaml", "name: shop\nhosts: [shop.test]\norigins: [{url: \""+origin.URL+"\"}]\n"))
	must("apply", "--emergency", "-f", l.write("network.yaml", must("site", "show", "network")+"\nrollout: {bake: 1s}\n"))

	text := must("program", "deploy", "hello", program, "--site", "shop", "--path", "/hello", "--secret", "API_KEY="+l.write("api.key", first+"\n"))
	l.bothAnswer(hashed(first, "program"), text)
	text = must("program", "secret", "set", "hello", "API_KEY", l.write("api.key", second))
	l.bothAnswer(hashed(second, "program"), text)
	text = must("program", "secret", "set", "hello", "API_KEY", l.write("api.key", third), "--emergency")
	l.bothAnswer(hashed(third, "program"), text)
	text = must("program", "rollback", "hello")
	l.bothAnswer(hashed(second, "program"), text)

	text, err := l.run("program", "deploy", "hello", crashes)
	said.WriteString(text)
	if err == nil || !strings.Contains(text, "[API_KEY]") || !strings.Contains(text, "isn't started on this machine") {
		t.Errorf("one that crashes on edges: %v %s", err, text)
	}
	if text := must("program", "secret", "list", "hello"); !strings.Contains(text, "API_KEY") {
		t.Error(text)
	}
	l.must("lab", "kill", "control-1")
	l.must("lab", "restart", "edge-1")
	l.untilServes("edge-1")
	l.bothAnswer(hashed(second, "program"), "a restart without control")
	l.must("lab", "restart", "control-1")
	for deadline := time.Now().Add(time.Minute); ; {
		if text, err := l.run("program", "secret", "list", "hello"); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("control isn't back: %s", text)
		}
	}

	for _, args := range [][]string{
		{"history", "network"}, {"audit", "--limit", "1000"}, {"audit", "--json"}, {"export"}, {"status", "--json"}, {"program", "secret", "list", "hello", "--json"}, {"rollout", "status", "--json"},
	} {
		must(args...)
	}
	for _, at := range l.portal {
		for _, path := range []string{"/metrics", "/api/status", "/"} {
			if resp, err := http.Get("http://" + at + path); err == nil {
				body, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				said.Write(body)
			}
		}
	}
	if !strings.Contains(said.String(), "put secret") || !strings.Contains(said.String(), "secret/hello/API_KEY") {
		t.Error("there is no record of who has set it")
	}
	secrets := [][]byte{[]byte(first), []byte(second), []byte(third)}
	for _, secret := range secrets {
		if strings.Contains(said.String(), string(secret)) {
			t.Errorf("%s was shown", secret)
		}
	}
	l.noneHas(secrets)

	text = must("program", "secret", "remove", "hello", "API_KEY")
	l.bothAnswer(hashed("", "program"), text)
	if files, err := filepath.Glob(filepath.Join(l.dir, "*", "secrets", "*")); err != nil || len(files) > 0 {
		t.Errorf("edges keep what they don't use: %v, %v", files, err)
	}
}

// noneHas looks for secrets in all that the nodes have written: they are in the edges' own files alone, for this user.
func (l *labRun) noneHas(secrets [][]byte) {
	l.t.Helper()
	own := map[string]bool{}
	err := filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // it went meanwhile
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		for _, secret := range secrets {
			if !bytes.Contains(data, secret) {
				continue
			}
			name, _ := filepath.Rel(l.dir, path)
			node, rest, _ := strings.Cut(name, string(filepath.Separator))
			info, err := d.Info()
			if filepath.Dir(rest) != "secrets" || !strings.HasPrefix(node, "edge-") || err != nil || info.Mode().Perm() != 0o600 {
				l.t.Errorf("%s has a secret", name)
			}
			own[node] = true
		}
		return nil
	})
	if err != nil || len(own) != 2 {
		l.t.Errorf("%v have secrets of their own: %v", own, err)
	}
}

// An export with secrets makes another network that has them; applied to its own it sends nothing and starts no program anew.
func TestSecretsMoveToAnotherNetwork(t *testing.T) {
	t.Parallel()
	secret := "moved-secret-0123456789"
	program := buildAnswering(t, hashing, "program")
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") }))
	defer origin.Close()
	site := "name: shop\nhosts: [shop.test]\norigins: [{url: \"" + origin.URL + "\"}]\n"
	one := startLab(t, "--control", "1", "--edges", "1", "--dns", "0")
	one.must("apply", "--emergency", "-f", one.write("shop.yaml", site))
	one.must("program", "deploy", "hello", program, "--site", "shop", "--path", "/hello", "--emergency", "--secret", "API_KEY="+one.write("api.key", secret))
	one.answers(time.Minute, "edge-1", "/hello", http.StatusOK, hashed(secret, "program"))
	dir := filepath.Join(t.TempDir(), "network")
	one.must("export", "--dir", dir)
	if files, _ := filepath.Glob(filepath.Join(dir, "secrets", "*")); len(files) > 0 {
		t.Errorf("an export without secrets has %v", files)
	}
	one.must("export", "--dir", dir, "--secrets")
	if text := one.must("apply", "--emergency", "-f", dir); strings.Contains(text, "control keeps") || strings.Contains(text, "revision 3") {
		t.Errorf("an apply of what holds has changed something: %s", text)
	}

	two := startLab(t, "--control", "1", "--edges", "1", "--dns", "0")
	two.must("apply", "--emergency", "-f", two.write("shop.yaml", site))
	two.must("program", "deploy", "another", program, "--emergency", "--no-check") // so that control has the image
	for _, name := range []string{"network.yaml", "sites/shop.yaml"} {             // of which revisions they were is another network's affair
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		_, text, _ = bytes.Cut(text, []byte("\n"))
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := two.must("apply", "--emergency", "-f", filepath.Join(dir, "network.yaml"))
	if !strings.Contains(text, "program hello: control keeps API_KEY now") || strings.Contains(text, secret) {
		t.Error(text)
	}
	two.must("apply", "--emergency", "-f", filepath.Join(dir, "sites")) // an edge tries sites with the settings that hold
	two.answers(time.Minute, "edge-1", "/hello", http.StatusOK, hashed(secret, "program"))
}
