//go:build linux

package apart

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/vmm/backend"
)

// TestMain is a monitor where it is started as one.
func TestMain(m *testing.M) {
	if !Started() {
		os.Exit(m.Run())
	}
	_ = run(doors()) // its host sees that it ends
}

func build(from string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "apart")
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
	guestImage  = sync.OnceValues(func() ([]byte, error) { return build("../testdata/guest") })
	serverImage = sync.OnceValues(func() ([]byte, error) { return build("../testdata/server") })
)

func program(t testing.TB, name string, image func() ([]byte, error)) compute.Program {
	t.Helper()
	b, err := image()
	if err != nil {
		t.Fatal(err)
	}
	return compute.Program{Name: name, Image: b, Env: []string{"GOMAXPROCS=1"}, Limits: compute.Limits{CPU: 20 * time.Second, Wall: time.Minute}}
}

func guest(t testing.TB) compute.Program { return program(t, "guest", guestImage) }

func server(t testing.TB, isolation compute.Isolation) compute.Program {
	p := program(t, "server", serverImage)
	p.Isolation = isolation
	return p
}

// running is a host until the test ends.
func running(t testing.TB, o Options) *Host {
	t.Helper()
	if o.Compute.Log == nil {
		o.Compute.Log = slog.New(slog.DiscardHandler)
	}
	o.Command = []string{"monitor"}
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
	})
	return h
}

func deploy(t testing.TB, h *Host, all ...compute.Program) map[string]compute.Report {
	t.Helper()
	c, err := h.Prepare(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	asked := false
	c.Commit(func() { asked = true })
	if !asked {
		t.Error("who asks wasn't told")
	}
	return c.Reports()
}

func send(h *Host, name string, r *http.Request) (string, error) {
	response, err := h.RoundTripper(name).RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusOK {
		return response.Status, err
	}
	return string(b), err
}

func get(h *Host, name, path string) (string, error) {
	return send(h, name, httptest.NewRequest(http.MethodGet, "http://shop.example"+path, nil))
}

func mustGet(t testing.TB, h *Host, name, path, want string) {
	t.Helper()
	if got, err := get(h, name, path); err != nil || got != want {
		t.Errorf("%s: %q, %v, want %q", path, got, err, want)
	}
}

func mustOver(t *testing.T, h *Host, c *compute.Connection, want string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://shop.example/count", nil)
	if got, err := send(h, "server", r.WithContext(compute.WithConnection(r.Context(), c))); err != nil || got != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

// pid is the process of the monitor that answers.
func (h *Host) pid(t testing.TB) int {
	t.Helper()
	s, err := h.await(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	return s.cmd.Process.Pid
}

func TestPrograms(t *testing.T) {
	h := running(t, Options{Compute: compute.Options{Machine: backend.Emulator}})
	if _, err := get(h, "guest", "/count"); fault.Of(err).Party != fault.Config {
		t.Errorf("nothing is deployed: %v", err)
	}
	reports := deploy(t, h, guest(t), server(t, compute.PerInstance))
	if r := reports["guest"]; r.Machine != "emulator" || r.Boot == 0 || r.Unchanged {
		t.Errorf("%+v", r)
	}
	for _, want := range []string{"1", "2", "3"} {
		mustGet(t, h, "guest", "/count", "1")
		mustGet(t, h, "server", "/count", want)
	}
	if !deploy(t, h, guest(t))["guest"].Unchanged {
		t.Error("the same program again is another")
	}
	if _, err := get(h, "server", "/count"); fault.Of(err).Party != fault.Config {
		t.Errorf("a program that was removed: %v", err)
	}
	mustGet(t, h, "guest", "/count", "1")
	m := h.Metrics()
	if len(m) != 1 || m["guest"].Calls != 4 || m["guest"].Tenant != "guest" {
		t.Errorf("%+v", m)
	}
	c, err := h.Prepare(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Drop(); err != nil {
		t.Error(err)
	}
	mustGet(t, h, "guest", "/count", "1")
}

// TestErrorsKeepTheirMeaning has limits, crashes and refusals cross.
func TestErrorsKeepTheirMeaning(t *testing.T) {
	var mu sync.Mutex
	said := map[string]string{}
	h := running(t, Options{Compute: compute.Options{Machine: backend.Emulator, Said: func(name, text string) {
		mu.Lock()
		defer mu.Unlock()
		said[name] += text
	}}})
	p := guest(t)
	p.Limits.CPU, p.Limits.Output, p.Limits.Input = time.Second, 20_000, 1000
	deploy(t, h, p)
	for path, want := range map[string]struct {
		limit  string
		status int
	}{"/loop": {"cpu", 504}, "/babble": {"output", 502}, "/" + strings.Repeat("x", 1000): {"input", 413}} {
		_, err := get(h, "guest", path)
		var l *compute.LimitError
		if f := fault.Of(err); !errors.As(err, &l) || l.Limit != want.limit || f.Status != want.status {
			t.Errorf("%.9s: %v, want %v", path, err, want)
		}
	}
	_, err := get(h, "guest", "/panic")
	if f := fault.Of(err); f.Party != fault.Origin || f.Status != http.StatusBadGateway || f.Retry || !strings.Contains(err.Error(), "exited with status 2") {
		t.Errorf("%+v", f)
	}
	mustGet(t, h, "guest", "/count", "1")
	mu.Lock()
	if !strings.Contains(said["guest"], "panic") {
		t.Errorf("it said %q", said)
	}
	mu.Unlock()

	bad := p
	bad.Name, bad.Image = "bad", []byte("hello")
	worse := p
	worse.Name, worse.Isolation = "worse", "none"
	_, err = h.Prepare(t.Context(), []compute.Program{bad, p, worse})
	var d *compute.DeployError
	if !errors.As(err, &d) || d.Name != "bad" || !strings.Contains(err.Error(), "not an ELF file") || !strings.Contains(err.Error(), `isolation by "none"`) {
		t.Errorf("%v", err)
	}
	mustGet(t, h, "guest", "/count", "1")
}

func TestStreams(t *testing.T) {
	t.Run("listens", func(t *testing.T) { testStreams(t, server(t, compute.PerRequest)) })
	t.Run("reads", func(t *testing.T) {
		p := server(t, compute.PerRequest)
		p.Env = append(p.Env, "SDK=1")
		testStreams(t, p)
	})
}

// TestPipes has responses on standard output cross that come in one piece, in several, and that are cut.
func TestPipes(t *testing.T) {
	h := running(t, Options{Compute: compute.Options{Machine: backend.Emulator}})
	p := guest(t)
	p.Name, p.Limits.Wall = "short", 2*time.Second
	deploy(t, h, guest(t), p)
	for _, c := range []struct{ name, path, want, err string }{
		{"guest", "/count", "200 1 1", ""},
		{"guest", "/dribble", "200 -1 onetwothree", ""},
		{"guest", "/until", "200 -1 to the end of the call", ""},
		{"guest", "/empty", "204 -1 ", ""},
		{"guest", "/same", "304 -1 ", ""},
		{"guest", "/early", "200 5 early", ""},
		{"guest", "/half", "200 10 half", "exited with status 3"},
		{"guest", "/stops", "200 10 half", "before it is whole"},
		{"guest", "/behind", "200 5 whole", "something stands behind it"},
		{"short", "/forever", "200 -1 tick", `"wall"`},
	} {
		response, err := h.RoundTripper(c.name).RoundTrip(httptest.NewRequest(http.MethodGet, "http://shop.example"+c.path, nil))
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		b, err := io.ReadAll(response.Body)
		response.Body.Close()
		got := fmt.Sprint(response.StatusCode, " ", response.ContentLength, " ", string(b))
		if got != c.want && (c.path != "/forever" || !strings.HasPrefix(got, c.want)) || (err == nil) != (c.err == "") {
			t.Errorf("%s: %.40q, %v, want %q, %s", c.path, got, err, c.want, c.err)
		}
		if f := fault.Of(err); err != nil && (f.Party != fault.Origin || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %v", c.path, err)
		}
	}
	mustGet(t, h, "guest", "/count", "1")
}

func testStreams(t *testing.T, p compute.Program) {
	h := running(t, Options{Compute: compute.Options{Machine: backend.Emulator}})
	p.Limits.Output, p.Limits.Input = 16<<20, 16<<20
	deploy(t, h, p)
	for _, length := range []int{0, 7, smallMax, smallMax + 1, 300_000} {
		text := strings.Repeat("x", length)
		for _, body := range []io.Reader{strings.NewReader(text), io.MultiReader(strings.NewReader(text))} {
			r := httptest.NewRequest(http.MethodPost, "http://shop.example/echo", body)
			if got, err := send(h, "server", r); err != nil || got != text {
				t.Errorf("%d bytes: got %d, %v", length, len(got), err)
			}
		}
	}
	in, out := io.Pipe()
	response, err := h.RoundTripper("server").RoundTrip(httptest.NewRequest(http.MethodPost, "http://shop.example/echo?flush", in))
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range []string{"one", "two", "three"} {
		if _, err := out.Write([]byte(piece)); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(piece))
		if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != piece {
			t.Errorf("%q, %v, want %q", got, err, piece)
		}
	}
	out.Close()
	if rest, err := io.ReadAll(response.Body); err != nil || len(rest) > 0 {
		t.Errorf("behind the end: %q, %v", rest, err)
	}
	// Clients that don't read hold up nobody else.
	for range 3 {
		response, err := h.RoundTripper("server").RoundTrip(httptest.NewRequest(http.MethodGet, "http://shop.example/big?n=1000", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if n, err := io.Copy(io.Discard, response.Body); n != 1000<<12 || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		}()
	}
	mustGet(t, h, "server", "/count", "1")
	half := httptest.NewRequest(http.MethodPost, "http://shop.example/echo", io.MultiReader(strings.NewReader("half")))
	half.ContentLength = 5
	if _, err := send(h, "server", half); fault.Of(err).Party != fault.Client || fault.Of(err).Status != http.StatusBadRequest {
		t.Errorf("a body that is cut: %v", err)
	}
}

func TestConnections(t *testing.T) {
	h := running(t, Options{Compute: compute.Options{Machine: backend.Emulator}})
	deploy(t, h, server(t, compute.PerConnection))
	a, b := new(compute.Connection), new(compute.Connection)
	mustOver(t, h, a, "1")
	mustOver(t, h, b, "1")
	mustOver(t, h, a, "2")
	mustOver(t, h, b, "2")
	mustGet(t, h, "server", "/count", "1")
	a.Close()
	mustOver(t, h, a, "1")
	mustOver(t, h, b, "3")
	b.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.connections); n > 0 {
		t.Errorf("%d connections are kept", n)
	}
}

func TestWebSocket(t *testing.T) {
	h := running(t, Options{Compute: compute.Options{Machine: backend.Emulator}})
	deploy(t, h, server(t, compute.PerConnection))
	r := httptest.NewRequest(http.MethodGet, "http://shop.example/socket", nil)
	r.Header = http.Header{
		"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	response, err := h.RoundTripper("server").RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	c, ok := response.Body.(io.ReadWriteCloser)
	if !ok || response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("%+v", response)
	}
	for range 3 {
		if _, err := c.Write([]byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}); err != nil { // "Hello", masked (RFC 6455 §5.7)
			t.Fatal(err)
		}
		got := make([]byte, 7)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "\x81\x05Hello" {
			t.Errorf("% x, %v", got, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	talk := httptest.NewRequest(http.MethodGet, "http://shop.example/talk", nil)
	talk.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"lines"}}
	if response, err = h.RoundTripper("server").RoundTrip(talk); err != nil {
		t.Fatal(err)
	}
	both := response.Body.(io.ReadWriteCloser)
	if _, err := io.WriteString(both, "hello\nbye\n"); err != nil {
		t.Error(err)
	}
	if text, err := bufio.NewReader(both).ReadString('\n'); text != "1 hello\n" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if err := both.Close(); err != nil {
		t.Error(err)
	}
}

// TestClientLeaves ends calls whose callers don't want them any more, before the response and behind its head.
func TestClientLeaves(t *testing.T) {
	h := running(t, Options{Compute: compute.Options{Machine: backend.Emulator}})
	deploy(t, h, server(t, compute.PerRequest))
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := send(h, "server", httptest.NewRequest(http.MethodGet, "http://shop.example/sleep", nil).WithContext(ctx))
	if f := fault.Of(err); f.Party != fault.Client || f.Status != fault.StatusClientClosedRequest {
		t.Errorf("it left: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = send(h, "server", httptest.NewRequest(http.MethodGet, "http://shop.example/sleep", nil).WithContext(ctx))
	if f := fault.Of(err); f.Party != fault.Edge || f.Status != http.StatusGatewayTimeout {
		t.Errorf("it was late: %v", err)
	}
	response, err := h.RoundTripper("server").RoundTrip(httptest.NewRequest(http.MethodGet, "http://shop.example/big?n=1000", nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	if _, err := response.Body.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("reading after closing: %v", err)
	}
	for {
		m := h.Metrics()["server"]
		if m.Errors["client"] == 3 && m.Busy == 0 {
			break
		}
		select {
		case <-t.Context().Done():
			t.Fatalf("%+v", m)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestReload replaces a program again and again while it is asked: no request fails.
func TestReload(t *testing.T) {
	h := running(t, Options{Compute: compute.Options{Machine: backend.Emulator}})
	version := func(say string) compute.Program {
		p := guest(t)
		p.Env = append([]string{"SAY=" + say}, p.Env...)
		return p
	}
	deploy(t, h, version("v0-"))
	var end atomic.Bool
	var callers sync.WaitGroup
	for range 3 {
		callers.Go(func() {
			for last := ""; !end.Load(); {
				got, err := get(h, "guest", "/count")
				if err != nil || !strings.HasSuffix(got, "-1") || got < last {
					t.Errorf("%q, %v, after %q", got, err, last)
					return
				}
				last = got
			}
		})
	}
	for n := range 4 {
		deploy(t, h, version(fmt.Sprintf("v%d-", n+1)))
	}
	end.Store(true)
	callers.Wait()
	mustGet(t, h, "guest", "/count", "v4-1")
}

// A monitor that can't be started is said to whoever deploys.
func TestNoMonitor(t *testing.T) {
	h := running(t, Options{Env: []string{envDoors + "=leave"}})
	_, err := h.Prepare(t.Context(), []compute.Program{guest(t)})
	if err == nil || !strings.Contains(err.Error(), "the monitor has ended: exit status 7; it said: it leaves") {
		t.Errorf("%v", err)
	}
}

// Who starts the monitor by hand is told what to start.
func TestByHand(t *testing.T) {
	if err := Monitor(); err == nil || !strings.Contains(err.Error(), "start one of those") {
		t.Errorf("%v", err)
	}
}

func TestBackoff(t *testing.T) {
	var b backoff
	for i, want := range []time.Duration{0, 0, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, waitMax, waitMax} {
		if got := b.died(time.Second); got != want {
			t.Errorf("after death %d: %v, want %v", i+1, got, want)
		}
	}
	if got := b.died(lifeShort); got != 0 {
		t.Errorf("after a long life: %v", got)
	}
	if got := b.died(0); got != 0 {
		t.Errorf("after one short life: %v", got)
	}
}

// TestPreparedText reads what programs and refusals are sent as.
func TestPreparedText(t *testing.T) {
	want := []compute.Program{{Name: "a", Image: []byte("image"), Args: []string{"b"}, Limits: compute.Limits{CPU: 1}}, {Name: "c"}}
	var b bytes.Buffer
	if err := writePrograms(&b, want, []string{"d"}); err != nil {
		t.Fatal(err)
	}
	text := b.Bytes()
	got, kept, err := readPrograms(bytes.NewReader(text))
	if err != nil || len(kept) != 1 || kept[0] != "d" || len(got) != 2 || got[0].Name != "a" || string(got[0].Image) != "image" || got[0].Args[0] != "b" || got[0].Limits.CPU != 1 || got[1].Name != "c" {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range text {
		if _, _, err := readPrograms(bytes.NewReader(text[:n])); err == nil {
			t.Fatalf("%d of %d bytes are enough", n, len(text))
		}
	}
}
