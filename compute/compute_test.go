package compute

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/vmm/backend"
)

// build builds a Go program for guests.
func build(from string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "compute")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "program")
	cmd := exec.Command("go", "build", "-o", out, from)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, errors.New(string(text))
	}
	return os.ReadFile(out)
}

var (
	guestImage = sync.OnceValues(func() ([]byte, error) { return build("./testdata/guest") })
	cartImage  = sync.OnceValues(func() ([]byte, error) { return build("../examples/programs/cart") })
)

func guest(t testing.TB) Program {
	t.Helper()
	image, err := guestImage()
	if err != nil {
		t.Fatal(err)
	}
	// What a busy machine's clocks make of a call isn't what most tests are about.
	return Program{Name: "guest", Image: image, Env: []string{"GOMAXPROCS=1"}, Limits: Limits{CPU: 5 * time.Second, Wall: time.Minute}}
}

// onEach runs f on each machine that there is here.
func onEach(t *testing.T, f func(t *testing.T, kind backend.Kind)) {
	for _, kind := range []backend.Kind{backend.KVM, backend.Emulator} {
		t.Run(string(kind), func(t *testing.T) {
			if host := backend.Find(); kind == backend.KVM && !host.KVM {
				t.Skip(host.WhyNot)
			}
			f(t, kind)
		})
	}
}

// running is a host that works until the test ends, and then has no memory.
func running(t testing.TB, o Options) *Host {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	h, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() {
		if err := h.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		done.Wait()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		if n := h.Memory(); n != 0 {
			t.Errorf("a closed host is charged %d bytes", n)
		}
	})
	return h
}

func deploy(t testing.TB, h *Host, p Program) Report {
	t.Helper()
	report, err := h.Deploy(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func get(h *Host, name, path string) (string, error) {
	return send(h, name, httptest.NewRequest(http.MethodGet, "http://shop.example"+path, nil))
}

func send(h *Host, name string, r *http.Request) (string, error) {
	response, err := h.RoundTripper(name).RoundTrip(r)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		return response.Status, err
	}
	return string(b), err
}

// quiet are the counts once no instance is busy: answers come before the resets.
func quiet(h *Host) map[string]Metrics {
	for {
		busy, all := 0, h.Metrics()
		for _, m := range all {
			busy += m.Busy
		}
		if busy == 0 {
			return all
		}
		runtime.Gosched()
	}
}

func mustGet(t testing.TB, h *Host, name, path, want string) {
	t.Helper()
	if got, err := get(h, name, path); err != nil || got != want {
		t.Errorf("%s of %s: %q, %v, want %q", path, name, got, err, want)
	}
}

func TestCart(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		image, err := cartImage()
		if err != nil {
			t.Fatal(err)
		}
		h := running(t, Options{Machine: kind})
		report := deploy(t, h, Program{Name: "cart", Image: image, Env: []string{"GOMAXPROCS=1"}, Limits: Limits{CPU: 5 * time.Second, Wall: time.Minute}})
		if report.Machine != string(kind) || report.Snapshot == 0 || report.Unchanged {
			t.Errorf("%+v", report)
		}
		for range 3 {
			cart := `{"country":"PT","items":[{"sku":"book","cents":1999,"count":2}]}`
			r := httptest.NewRequest(http.MethodPost, "http://shop.example/cart", strings.NewReader(cart))
			got, err := send(h, "cart", r)
			if want := `{"items":2,"net_cents":3998,"tax_cents":920,"gross_cents":4918}` + "\n"; err != nil || got != want {
				t.Errorf("%q, %v, want %q", got, err, want)
			}
		}
		if got, err := get(h, "cart", "/cart"); err != nil || got != "405 Method Not Allowed" {
			t.Errorf("a GET: %q, %v", got, err)
		}
		if m := quiet(h)["cart"]; m.Calls != 4 || m.Resets != 4 || m.DirtyPages == 0 || m.CPU == 0 || m.Exits["system call"] == 0 || m.Ready != 1 {
			t.Errorf("%+v", m)
		}
	})
}

func TestIsolation(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind})
		p := guest(t)
		deploy(t, h, p)
		for range 5 {
			mustGet(t, h, "guest", "/count", "1")
		}
		p.Name, p.Isolation = "remembers", PerInstance
		deploy(t, h, p)
		for _, want := range []string{"1", "2", "3"} {
			mustGet(t, h, "remembers", "/count", want)
		}
	})
}

// TestLimits passes each limit, which is named, and asks again.
func TestLimits(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind})
		for _, isolation := range []Isolation{PerRequest, PerInstance} {
			p := guest(t)
			p.Name, p.Isolation, p.Memory = string(isolation), isolation, 64<<20
			p.Limits = Limits{CPU: 100 * time.Millisecond, Wall: 20 * time.Second, Output: 20_000, Input: 1000}
			deploy(t, h, p)
			q := p
			q.Name, q.Limits.Wall, q.Limits.CPU = p.Name+"-short", 100*time.Millisecond, 30*time.Second
			deploy(t, h, q)
			r := p
			r.Name, r.Limits = p.Name+"-wide", Limits{CPU: 30 * time.Second, Wall: time.Minute}
			deploy(t, h, r)
			for _, c := range []struct {
				name, path, limit string
				status            int
			}{
				{p.Name, "/loop", "cpu", 504},
				{p.Name, "/babble", "output", 502},
				{q.Name, "/sleep", "wall", 504},
				{r.Name, "/grow", "memory", 502},
				{p.Name, "/" + strings.Repeat("x", 1000), "input", 413},
			} {
				_, err := get(h, c.name, c.path)
				var l *LimitError
				if f := fault.Of(err); !errors.As(err, &l) || l.Limit != c.limit || f.Status != c.status {
					t.Errorf("%.10s of %s: %v; want the limit %s and status %d", c.path, c.name, err, c.limit, c.status)
				}
				if h.Metrics()[c.name].Errors[c.limit] != 1 {
					t.Errorf("%s isn't counted: %v", c.limit, h.Metrics()[c.name].Errors)
				}
			}
			for _, name := range []string{p.Name, r.Name} {
				mustGet(t, h, name, "/count", "1")
			}
		}
	})
}

// TestLimitsAreOfOneRequest has a program that is never reset use more than its limits, over many requests.
func TestLimitsAreOfOneRequest(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind})
		p := guest(t)
		p.Isolation, p.Limits.Output = PerInstance, 300
		deploy(t, h, p)
		for range 10 {
			if got, err := get(h, "guest", "/echo"); err != nil || !strings.HasPrefix(got, "GET /echo") {
				t.Fatal(got, err)
			}
		}
	})
}

func TestFailures(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind})
		deploy(t, h, guest(t))
		for path, want := range map[string]string{
			"/panic": "exited with status 2", "/garbage": "hello, world", "/silent": "it wrote none", "/two": "something stands behind it",
		} {
			_, err := get(h, "guest", path)
			if f := fault.Of(err); f == nil || f.Party != fault.Origin || f.Status != http.StatusBadGateway || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", path, err, want)
			}
			mustGet(t, h, "guest", "/count", "1")
		}
		mustGet(t, h, "guest", "/last", "bye")
		mustGet(t, h, "guest", "/count", "1")
		if _, err := get(h, "nobody", "/"); fault.Of(err).Party != fault.Config || fault.Of(err).Status != http.StatusServiceUnavailable {
			t.Errorf("a program that isn't there: %v", err)
		}
	})
}

// TestClientLeaves ends a call whose caller doesn't want it any more.
func TestClientLeaves(t *testing.T) {
	h := running(t, Options{Machine: backend.Emulator})
	deploy(t, h, guest(t))
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequest(http.MethodGet, "http://shop.example/sleep", nil).WithContext(ctx)
	body, left := io.Pipe()
	r.Body = body
	go func() {
		left.Close() // the request is whole now
		for h.Metrics()["guest"].Busy == 0 {
			runtime.Gosched()
		}
		cancel()
	}()
	if _, err := send(h, "guest", r); fault.Of(err).Status != fault.StatusClientClosedRequest {
		t.Errorf("the client left: %v", err)
	}
	mustGet(t, h, "guest", "/count", "1")
}

// TestRequest shows what programs see, and what callers see of the answer.
func TestRequest(t *testing.T) {
	h := running(t, Options{Machine: backend.Emulator})
	deploy(t, h, guest(t))
	r := httptest.NewRequest(http.MethodPost, "http://shop.example/echo", bytes.NewReader([]byte("content")))
	r.Header = http.Header{
		"Connection": {"close, X-Secret"}, "X-Secret": {"1"}, "Te": {"trailers"}, "Transfer-Encoding": {"chunked"}, "Content-Length": {"3"},
		"Upgrade": {"h2c"}, "Keep-Alive": {"5"}, "Expect": {"100-continue"}, "Accept": {"a", "b"},
	}
	response, err := h.RoundTripper("guest").RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(response.Body)
	want := "POST /echo HTTP/1.1\r\nHost: shop.example\r\nAccept: a\r\nAccept: b\r\nContent-Length: 7\r\n\r\ncontent"
	if err != nil || string(got) != want {
		t.Errorf("the program read %q, %v, want %q", got, err, want)
	}
	if h := response.Header; h.Get("X-Hop") != "" || h.Get("Connection") != "" || h.Get("X-Kept") != "1" {
		t.Errorf("the caller got %v", h)
	}
}
