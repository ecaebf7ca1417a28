package programs

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/vmm/backend"
	"github.com/wherry/wherry/vmm/rootfs"
)

// nginx is a static one, built from Debian's source, which tools/setup.sh fetches. It is kept where the source is, by what it was built by.
func nginx(t *testing.T) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("builds programs")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip(err)
	}
	sources, _ := filepath.Glob(filepath.Join(cache, "wherry", "nginx_*.orig.tar.*"))
	if len(sources) == 0 {
		t.Skip("no source of nginx; tools/setup.sh fetches it")
	}
	for _, tool := range []string{"gcc", "make", "tar"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	script, err := os.ReadFile("nginx/build.sh")
	if err != nil {
		t.Fatal(err)
	}
	source := sources[len(sources)-1]
	kept := filepath.Join(cache, "wherry", fmt.Sprintf("nginx-%x", sha256.Sum256(append(script, source...))))
	if image, err := os.ReadFile(kept); err == nil {
		return image
	}
	out := filepath.Join(t.TempDir(), "nginx")
	c := exec.Command("sh", "nginx/build.sh", out, source)
	c.Env = append(os.Environ(), "OPTIMIZE=-O1")
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("building nginx: %v\n%s", err, text)
	}
	image, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if whole := kept + "." + filepath.Base(filepath.Dir(out)); os.WriteFile(whole, image, 0o600) == nil {
		_ = os.Rename(whole, kept) // another time it is built again
	}
	return image
}

// heard is what programs have said.
type heard struct {
	mu   sync.Mutex
	text strings.Builder
}

func (h *heard) add(_, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text.WriteString(text)
}

func (h *heard) has(text string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Contains(h.text.String(), text)
}

// served has a program answer on one kind of machine.
func served(t *testing.T, kind backend.Kind, p compute.Program) (*http.Client, *heard, error) {
	t.Helper()
	said := &heard{}
	h, err := hosted(t, compute.Options{Machine: kind, Said: said.add}, p)
	if err != nil {
		return nil, nil, err
	}
	return &http.Client{Transport: h.RoundTripper(p.Name)}, said, nil
}

// onEach is for each kind of machine that there is here.
func onEach(t *testing.T, f func(t *testing.T, kind backend.Kind)) {
	for _, kind := range []backend.Kind{backend.KVM, backend.Emulator} {
		t.Run(string(kind), func(t *testing.T) {
			if kind == backend.KVM && !backend.Find().KVM {
				t.Skip("no KVM here")
			}
			f(t, kind)
		})
	}
}

// site is a copy of the example's files, with more of them.
func site(t *testing.T, more map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("nginx/files")); err != nil {
		t.Fatal(err)
	}
	for name, content := range more {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func packed(t *testing.T, dir string, program []byte) []byte {
	t.Helper()
	image, err := rootfs.Pack(dir, program)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func large() string {
	b := make([]byte, 10<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b) // never fails
	return string(b)
}

func TestNginx(t *testing.T) {
	program := nginx(t)
	conf, err := os.ReadFile("nginx/files/etc/nginx/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	big := large()
	dir := site(t, map[string]string{
		"www/big": big, "www/copied/big": big, "www/style.css": strings.Repeat("body { color: #223; }\n", 200),
		"etc/nginx/nginx.conf": strings.NewReplacer("location /assets/", "location /copied/ { sendfile off; }\n        location /assets/", "access_log    off;", "").Replace(string(conf)),
	})
	image := packed(t, dir, program)
	onEach(t, func(t *testing.T, kind backend.Kind) {
		for _, isolation := range []compute.Isolation{compute.PerRequest, compute.PerConnection, compute.PerInstance} {
			t.Run(string(isolation), func(t *testing.T) {
				p := compute.Program{Name: "web", Image: image, Isolation: isolation, Limits: compute.Limits{CPU: 10 * time.Second, Wall: time.Minute, Output: 16 << 20}}
				c, said, err := served(t, kind, p)
				if err != nil {
					t.Fatal(err)
				}
				for range 3 { // also on a connection that is kept
					nginxAnswers(t, c, big)
				}
				if !said.has(`open() "/www/nothing" failed (2: No such file or directory)`) {
					t.Error("what nginx writes to /dev/stderr isn't heard")
				}
				if isolation != compute.PerRequest && !said.has(`"GET /big HTTP/1.1" 200 10485760`) {
					t.Error("what nginx writes behind an answer isn't heard")
				}
			})
		}
	})
}

// nginxAnswers asks for all that a server of files does.
func nginxAnswers(t *testing.T, c *http.Client, big string) {
	t.Helper()
	const host = "http://web.test"
	page, text := ask(t, c, "GET", host+"/", "")
	if page.StatusCode != 200 || !strings.Contains(text, "Served by nginx") || page.Header.Get("Content-Type") != "text/html" || page.Header.Get("ETag") == "" {
		t.Errorf("the page: %d, %v, %q", page.StatusCode, page.Header, text)
	}
	if r, text := ask(t, c, "HEAD", host+"/", ""); r.StatusCode != 200 || text != "" || r.ContentLength != page.ContentLength {
		t.Errorf("HEAD: %d, %d bytes of %d", r.StatusCode, len(text), r.ContentLength)
	}
	if r, text := ask(t, c, "GET", host+"/", "", "Range", "bytes=2-8"); r.StatusCode != 206 || text != "doctype" || !strings.HasPrefix(r.Header.Get("Content-Range"), "bytes 2-8/") {
		t.Errorf("a range: %d, %q, %v", r.StatusCode, text, r.Header)
	}
	if r, _ := ask(t, c, "GET", host+"/", "", "If-Modified-Since", page.Header.Get("Last-Modified")); r.StatusCode != 304 {
		t.Errorf("what hasn't changed: %d", r.StatusCode)
	}
	if r, _ := ask(t, c, "GET", host+"/", "", "If-None-Match", page.Header.Get("ETag")); r.StatusCode != 304 {
		t.Errorf("what has the same tag: %d", r.StatusCode)
	}
	if r, _ := ask(t, c, "POST", host+"/", "a=b"); r.StatusCode != 405 {
		t.Errorf("POST to a file: %d", r.StatusCode)
	}
	if r, _ := ask(t, c, "GET", host+"/nothing", ""); r.StatusCode != 404 {
		t.Errorf("a file that isn't there: %d", r.StatusCode)
	}
	if r, _ := ask(t, c, "GET", host+"/assets/style.css", ""); r.Header.Get("Cache-Control") != "public, max-age=86400" {
		t.Errorf("an asset: %d, %v", r.StatusCode, r.Header)
	}
	for _, path := range []string{"/big", "/copied/big"} {
		if r, text := ask(t, c, "GET", host+path, ""); r.StatusCode != 200 || text != big {
			t.Errorf("%s: %d, %d bytes, as they are: %v", path, r.StatusCode, len(text), text == big)
		}
	}
	r, text := ask(t, c, "GET", host+"/style.css", "", "Accept-Encoding", "gzip")
	if r.Header.Get("Content-Encoding") != "gzip" {
		if _, err := exec.Command("sh", "-c", "case $(gcc -print-file-name=libz.a) in */*) ;; *) exit 1 ;; esac").Output(); err == nil {
			t.Errorf("nothing is compressed: %v", r.Header)
		}
		return
	}
	z, err := gzip.NewReader(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(z); err != nil || !bytes.HasPrefix(plain, []byte("body { color: #223; }\nbody")) {
		t.Errorf("compressed: %q, %v", plain[:min(len(plain), 50)], err)
	}
}

// nginx as it comes wants processes. Who deploys it is told what to write.
func TestNginxWithWorkers(t *testing.T) {
	program := nginx(t)
	for name, directives := range map[string]string{"daemon": "", "workers": "daemon off;"} {
		t.Run(name, func(t *testing.T) {
			dir := site(t, map[string]string{"etc/nginx/nginx.conf": directives + "events {}\nhttp { server { listen 8080; } }\n"})
			_, _, err := served(t, backend.Auto, compute.Program{Name: "web", Image: packed(t, dir, program)})
			if err == nil || !strings.Contains(err.Error(), "daemon off; master_process off;") || !strings.Contains(err.Error(), "fork() failed") {
				t.Errorf("%v; want it to say what to write, and what nginx has said", err)
			}
		})
	}
}
