package programs

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/compute/apart"
	"github.com/wherry/wherry/kv"
)

// TestMain is a monitor where it is started as one.
func TestMain(m *testing.M) {
	if !apart.Started() {
		os.Exit(m.Run())
	}
	_ = apart.Monitor() // who started it sees that it ends
}

// client deploys an example on an edge's host, and asks it.
func client(t *testing.T, p compute.Program, build ...string) *http.Client {
	t.Helper()
	return asking(t, p, nil, build...)
}

// asking is client for a program that asks in turn, which gate answers.
func asking(t *testing.T, p compute.Program, gate http.Handler, build ...string) *http.Client {
	t.Helper()
	if testing.Short() {
		t.Skip("builds programs")
	}
	if _, err := exec.LookPath(build[0]); err != nil {
		t.Skip(err)
	}
	file := filepath.Join(t.TempDir(), p.Name)
	for i, word := range build {
		build[i] = strings.ReplaceAll(word, "OUT", file)
	}
	c := exec.Command(build[0], build[1:]...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", p.Name, err, out)
	}
	var err error
	if p.Image, err = os.ReadFile(file); err != nil {
		t.Fatal(err)
	}
	p.Limits.CPU, p.Limits.Wall = 20*time.Second, time.Minute
	h, err := hosted(t, compute.Options{Gate: gate}, p)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Transport: h.RoundTripper(p.Name)}
}

func goProgram(t *testing.T, p compute.Program) *http.Client {
	return client(t, p, "go", "build", "-o", "OUT", "./"+p.Name)
}

func ask(t *testing.T, c *http.Client, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	response, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(b)
}

func TestResize(t *testing.T) {
	c := goProgram(t, compute.Program{Name: "resize"})
	from := image.NewRGBA(image.Rect(0, 0, 64, 32))
	for i := range from.Pix {
		from.Pix[i] = 255 // white, but for one half
	}
	for y := range 32 {
		for x := range 32 {
			from.Set(x, y, color.Black)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, from); err != nil {
		t.Fatal(err)
	}
	r, body := ask(t, c, "POST", "http://shop.example/?width=8", b.String())
	to, err := png.Decode(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v", r.Status, err)
	}
	if size := to.Bounds().Size(); size != image.Pt(8, 4) {
		t.Errorf("the picture is %v", size)
	}
	left, _, _, _ := to.At(3, 2).RGBA()
	right, _, _, _ := to.At(4, 2).RGBA()
	if left != 0 || right != 0xffff {
		t.Errorf("pixels %#x, %#x", left, right)
	}
	if r, _ := ask(t, c, "POST", "http://shop.example/?width=8", "GIF89a"); r.StatusCode != http.StatusUnprocessableEntity {
		t.Error(r.Status)
	}
}

func TestGate(t *testing.T) {
	c := goProgram(t, compute.Program{Name: "gate", Env: []string{"KEY=secret"}})
	b, err := os.ReadFile("gate/request.http")
	if err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(string(b), "Authorization: ")
	token = strings.TrimSpace(token)
	if r, body := ask(t, c, "GET", "http://shop.example/", "", "Authorization", token); r.StatusCode != http.StatusOK || body != `{"sub":"ada","exp":4102444800}` {
		t.Errorf("%s: %s", r.Status, body)
	}
	unsigned := "Bearer " + base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + ".e30."
	for _, wrong := range []string{"", "Bearer ", token[:len(token)-2] + "AA", unsigned} {
		r, body := ask(t, c, "GET", "http://shop.example/", "", "Authorization", wrong)
		if r.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%q: %s %s", wrong, r.Status, body)
		}
	}
}

func TestPage(t *testing.T) {
	c := goProgram(t, compute.Program{Name: "page"})
	r, body := ask(t, c, "GET", "http://shop.example/?name=%3Cb%3EAda", "", "Accept-Language", "de, en;q=0.5")
	if r.StatusCode != http.StatusOK || !strings.Contains(body, "<h1>Hallo, &lt;b&gt;Ada!</h1>") || r.Header.Get("Cache-Control") != "max-age=60" {
		t.Errorf("%s: %s", r.Status, body)
	}
}

// TestNotes has the database as it was at the deployment with each request, or kept with the instance.
func TestNotes(t *testing.T) {
	for isolation, want := range map[compute.Isolation]string{
		compute.PerRequest:  "[]\n",
		compute.PerInstance: `[{"id":1,"text":"say \"ahoy\""}]` + "\n",
	} {
		t.Run(string(isolation), func(t *testing.T) {
			c := client(t, compute.Program{Name: "notes", Isolation: isolation, Limits: compute.Limits{Concurrency: 1}},
				"gcc", "-O2", "-static", "-o", "OUT", "notes/notes.c", "-lsqlite3", "-lm")
			if r, body := ask(t, c, "POST", "http://shop.example/", `say "ahoy"`); r.StatusCode != http.StatusCreated || body != "{\"id\":1}\n" {
				t.Fatalf("%s: %s", r.Status, body)
			}
			if r, body := ask(t, c, "GET", "http://shop.example/?q=aho%79", ""); r.StatusCode != http.StatusOK || body != want {
				t.Errorf("%s: %s", r.Status, body)
			}
		})
	}
}

// TestServer has a guest book that a kept instance remembers, and lines that come one after another.
func TestServer(t *testing.T) {
	c := goProgram(t, compute.Program{Name: "server", Isolation: compute.PerInstance})
	for _, line := range []string{"ahoy", "land ho"} {
		if r, body := ask(t, c, "POST", "http://shop.example/", line); r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", r.Status, body)
		}
	}
	if r, body := ask(t, c, "GET", "http://shop.example/", ""); r.StatusCode != http.StatusOK || body != "ahoy\nland ho\n" {
		t.Errorf("%s: %q", r.Status, body)
	}
	if r, body := ask(t, c, "GET", "http://shop.example/ticks?n=1", ""); r.StatusCode != http.StatusOK || strings.Count(body, "\n") != 1 {
		t.Errorf("%s: %q", r.Status, body)
	}
}

// TestSplit has visitors keep their variant, whose copies are one for all, and half of them the other one.
func TestSplit(t *testing.T) {
	site := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header["Cookie"]) > 0 {
			t.Error("the site hears of cookies")
		}
		w.Header().Set("Cache-Control", "max-age=600")
		_, _ = io.WriteString(w, r.URL.Path)
	})
	c := asking(t, compute.Program{Name: "split"}, site, "go", "build", "-o", "OUT", "./split")
	seen := map[string]int{}
	for i := range 20 {
		r, body := ask(t, c, "GET", "http://shop.example/x.html", "", "X-Forwarded-For", fmt.Sprint("192.0.2.", i))
		if r.StatusCode != http.StatusOK || r.Header.Get("Cache-Control") != "private" || len(r.Cookies()) != 1 {
			t.Fatalf("%s, %v: %q", r.Status, r.Header, body)
		}
		seen[body]++
		if _, again := ask(t, c, "GET", "http://shop.example/x.html", "", "Cookie", r.Cookies()[0].String()); again != body {
			t.Errorf("%q, and then %q", body, again)
		}
	}
	if len(seen) != 2 || seen["/a/x.html"]+seen["/b/x.html"] != 20 {
		t.Errorf("variants: %v", seen)
	}
}

// TestCounter counts in a store that others count in as well.
func TestCounter(t *testing.T) {
	store := kv.OpenAnyway(kv.Options{Dir: t.TempDir(), Node: "test"})
	defer store.Close()
	values := store.Handler(func(ctx context.Context) (string, bool) {
		a, ok := compute.AskerOf(ctx)
		return a.Tenant, ok
	})
	c := asking(t, compute.Program{Name: "counter", Tenant: "shop"}, values, "go", "build", "-o", "OUT", "./counter")
	for want := range 4 {
		method := "POST"
		if want == 0 {
			method = "GET"
		}
		if r, body := ask(t, c, method, "http://shop.example/front%20page", ""); body != fmt.Sprintln(want) {
			t.Errorf("%s: %q, want %d", r.Status, body, want)
		}
	}
}

// hosted is a host, with a monitor apart, that runs until the test ends and has one program, or why that can't be used.
func hosted(t *testing.T, o compute.Options, p compute.Program) (*apart.Host, error) {
	t.Helper()
	h, err := apart.New(apart.Options{Compute: o, Command: []string{"monitor"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	change, err := h.Prepare(ctx, []compute.Program{p})
	if err == nil {
		change.Commit(func() {})
	}
	return h, err
}
