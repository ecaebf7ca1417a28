package compute

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
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
	"github.com/wherry/wherry/vmm/linux"
)

var serverImage = sync.OnceValues(func() ([]byte, error) { return build("./testdata/server") })

func server(t testing.TB, isolation Isolation) Program {
	t.Helper()
	image, err := serverImage()
	if err != nil {
		t.Fatal(err)
	}
	return Program{
		Name: "server", Image: image, Env: []string{"GOMAXPROCS=1"}, Isolation: isolation, Limits: Limits{CPU: 20 * time.Second, Wall: time.Minute},
	}
}

// eachWay runs f with the program as a server that listens, and with the same handlers on standard input.
func eachWay(t *testing.T, isolation Isolation, f func(t *testing.T, kind backend.Kind, p Program)) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		t.Run("listens", func(t *testing.T) { f(t, kind, server(t, isolation)) })
		t.Run("reads", func(t *testing.T) {
			p := server(t, isolation)
			p.Env = append(p.Env, "SDK=1")
			f(t, kind, p)
		})
	})
}

// over asks over a connection.
func over(h *Host, c *Connection, path string) (string, error) {
	r := httptest.NewRequest(http.MethodGet, "http://shop.example"+path, nil)
	return send(h, "server", r.WithContext(WithConnection(r.Context(), c)))
}

func mustOver(t *testing.T, h *Host, c *Connection, want string) {
	t.Helper()
	if got, err := over(h, c, "/count"); err != nil || got != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

// TestServers asks an unmodified net/http server, with each isolation.
func TestServers(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind})
		deploy(t, h, server(t, PerRequest))
		for range 3 {
			mustGet(t, h, "server", "/count", "1")
		}
		deploy(t, h, server(t, PerInstance))
		for _, want := range []string{"1", "2", "3"} {
			mustGet(t, h, "server", "/count", want)
		}
		deploy(t, h, server(t, PerConnection))
		a, b := new(Connection), new(Connection)
		mustOver(t, h, a, "1")
		mustOver(t, h, b, "1")
		mustOver(t, h, a, "2")
		mustOver(t, h, b, "2")
		mustGet(t, h, "server", "/count", "1")
		mustGet(t, h, "server", "/count", "1")
		a.Close()
		mustOver(t, h, new(Connection), "1")
		mustOver(t, h, b, "3")
	})
}

// TestEcho has bodies of both kinds go to a server and come back.
func TestEcho(t *testing.T) {
	eachWay(t, PerRequest, func(t *testing.T, kind backend.Kind, p Program) {
		h := running(t, Options{Machine: kind})
		deploy(t, h, p)
		for _, length := range []int{0, 7, 300_000} {
			text := strings.Repeat("x", length)
			for _, body := range []io.Reader{strings.NewReader(text), io.MultiReader(strings.NewReader(text))} {
				r := httptest.NewRequest(http.MethodPost, "http://shop.example/echo", body)
				if got, err := send(h, "server", r); err != nil || got != text {
					t.Errorf("%d bytes: got %d, %v", length, len(got), err)
				}
			}
		}
	})
}

// TestStreams has a program answer while its request's body is still being written, piece by piece.
func TestStreams(t *testing.T) {
	eachWay(t, PerRequest, func(t *testing.T, kind backend.Kind, p Program) {
		h := running(t, Options{Machine: kind})
		deploy(t, h, p)
		in, out := io.Pipe()
		r := httptest.NewRequest(http.MethodPost, "http://shop.example/echo?flush", in)
		response, err := h.RoundTripper("server").RoundTrip(r)
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
		if seen := response.Header.Get("X-Seen"); seen != "shop.example  -1" {
			t.Errorf("the server saw %q", seen)
		}
	})
}

// TestBackPressure has nobody read a large response: no more of it is held than the buffers have, no worker is held, and all of it comes in the end.
func TestBackPressure(t *testing.T) {
	eachWay(t, PerRequest, func(t *testing.T, kind backend.Kind, p Program) {
		h := running(t, Options{Machine: kind})
		p.Limits.Output = 16 << 20
		deploy(t, h, p)
		const pieces = 1000 // of 4 KiB
		var responses []*http.Response
		for range h.workers + 1 {
			response, err := h.RoundTripper("server").RoundTrip(httptest.NewRequest(http.MethodGet, "http://shop.example/big?n=1000", nil))
			if err != nil {
				t.Fatal(err)
			}
			responses = append(responses, response)
		}
		mustGet(t, h, "server", "/count", "1")
		for _, response := range responses {
			x := response.Body.(body).exchange
			x.mu.Lock()
			if len(x.out) > heldMax || x.instance.out.Len() > heldMax || x.outEnd != nil {
				t.Errorf("%d bytes wait, the end: %v", len(x.out), x.outEnd)
			}
			x.mu.Unlock()
			if n, err := io.Copy(io.Discard, response.Body); n != pieces<<12 || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		}
	})
}

// TestSleepersHoldNoWorker has more programs sleep than there are workers, while another one answers.
func TestSleepersHoldNoWorker(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind})
		deploy(t, h, server(t, PerRequest))
		var slow sync.WaitGroup
		for range 2 * h.workers {
			slow.Go(func() { mustGet(t, h, "server", "/slow", "slow") })
		}
		sleeping := func() int {
			h.mu.Lock()
			defer h.mu.Unlock()
			return len(h.parked)
		}
		for sleeping() == 0 {
			runtime.Gosched()
		}
		mustGet(t, h, "server", "/count", "1")
		slow.Wait()
	})
}

// wantLine reads one.
func wantLine(t *testing.T, b *bufio.Reader, want string) {
	t.Helper()
	if got, err := b.ReadString('\n'); got != want || err != nil {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

func dial(t *testing.T, h *Host) (io.ReadWriteCloser, *bufio.Reader) {
	t.Helper()
	c, _ := switched(t, h, "/talk", http.Header{"Connection": {"Upgrade"}, "Upgrade": {"lines"}})
	return c, bufio.NewReader(c)
}

// switched asks for another protocol, and gets it.
func switched(t *testing.T, h *Host, path string, fields http.Header) (io.ReadWriteCloser, http.Header) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://shop.example"+path, nil)
	r.Header = fields
	response, err := h.RoundTripper("server").RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("Upgrade") != fields.Get("Upgrade") {
		t.Fatalf("%s %v", response.Status, response.Header)
	}
	return response.Body.(io.ReadWriteCloser), response.Header
}

// TestWebSocket has messages sent back, with the handshake of RFC 6455 §1.3.
func TestWebSocket(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind})
		deploy(t, h, server(t, PerConnection))
		c, header := switched(t, h, "/socket", http.Header{
			"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
		})
		if got := header.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
			t.Errorf("it accepts with %q", got)
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
	})
}

// TestUpgrade talks to a program over connections that were upgraded, each with a machine of its own, until either side ends it.
func TestUpgrade(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind})
		deploy(t, h, server(t, PerConnection))
		a, fromA := dial(t, h)
		b, fromB := dial(t, h)
		for _, text := range []string{"1 hello\n", "2 again\n"} {
			for _, c := range []struct {
				to   io.Writer
				from *bufio.Reader
			}{{a, fromA}, {b, fromB}} {
				if _, err := io.WriteString(c.to, text[2:]); err != nil {
					t.Error(err)
				}
				wantLine(t, c.from, text)
			}
		}
		if _, err := io.WriteString(a, "bye\n"); err != nil {
			t.Error(err)
		}
		if rest, err := io.ReadAll(fromA); len(rest) > 0 || err != nil {
			t.Errorf("after the program's end: %q, %v", rest, err)
		}
		if err := errors.Join(a.Close(), b.Close()); err != nil {
			t.Error(err)
		}
		quiet(h)
		if got, err := get(h, "server", "/talk"); got != "426 Upgrade Required" || err != nil {
			t.Errorf("without an upgrade: %q, %v", got, err)
		}
	})
}

func TestSilence(t *testing.T) {
	h := running(t, Options{Machine: backend.Emulator})
	p := server(t, PerRequest)
	p.Limits.Idle = 50 * time.Millisecond
	deploy(t, h, p)
	c, from := dial(t, h)
	defer c.Close()
	var l *LimitError
	if _, err := from.ReadString('\n'); !errors.As(err, &l) || l.Limit != "idle" {
		t.Errorf("a silent connection ends with %v", err)
	}
}

// TestServersThatFail has a server pass limits, end and talk nonsense, and asks it again.
func TestServersThatFail(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind})
		for _, isolation := range []Isolation{PerRequest, PerInstance} {
			p := server(t, isolation)
			p.Limits = Limits{CPU: 500 * time.Millisecond, Wall: 20 * time.Second, Input: 1000, Output: 100_000}
			deploy(t, h, p)
			q := p
			q.Name, q.Limits.Wall = "short", 100*time.Millisecond
			deploy(t, h, q)
			for _, c := range []struct {
				name, path, want string
				status           int
			}{
				{"server", "/loop", `"cpu"`, 504},
				{"short", "/sleep", `"wall"`, 504},
				{"server", "/big?n=1000", `"output"`, 502},
				{"server", "/exit", "exited with status 3", 502},
				{"server", "/garbage", "gave no response", 502},
				{"server", "/" + strings.Repeat("x", 1000), `"input"`, 413},
			} {
				_, err := get(h, c.name, c.path)
				if f := fault.Of(err); err == nil || f.Status != c.status || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%.10s of %s: %v; want %s and status %d", c.path, c.name, err, c.want, c.status)
				}
			}
			r := httptest.NewRequest(http.MethodPost, "http://shop.example/echo", io.MultiReader(strings.NewReader(strings.Repeat("x", 2000))))
			if response, err := h.RoundTripper("server").RoundTrip(r); err == nil {
				_, err = io.ReadAll(response.Body)
				if f := fault.Of(err); err == nil || f.Status != http.StatusRequestEntityTooLarge {
					t.Errorf("a body that is too long: %v", err)
				}
			}
			mustGet(t, h, "server", "/count", "1")
		}
	})
}

// TestReaderLeaves closes a response before its end.
func TestReaderLeaves(t *testing.T) {
	h := running(t, Options{Machine: backend.Emulator})
	p := server(t, PerInstance)
	p.Limits.Output = 16 << 20
	deploy(t, h, p)
	mustGet(t, h, "server", "/count", "1")
	response, err := h.RoundTripper("server").RoundTrip(httptest.NewRequest(http.MethodGet, "http://shop.example/big?n=1000", nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	quiet(h)
	mustGet(t, h, "server", "/count", "2")
}

// TestCrowd has many ask at once, some of whom leave early, over connections that they share. All instances come back; running looks for what stays.
func TestCrowd(t *testing.T) {
	eachWay(t, PerConnection, func(t *testing.T, kind backend.Kind, p Program) {
		h := running(t, Options{Machine: kind, Instances: 4})
		deploy(t, h, p)
		const clients, requests = 12, 6
		var all sync.WaitGroup
		for n := range clients {
			c := new(Connection)
			all.Go(func() {
				defer c.Close()
				for i := range requests {
					ctx, cancel := context.WithCancel(WithConnection(t.Context(), c))
					r := httptest.NewRequest(http.MethodGet, "http://shop.example/big?n=100", nil).WithContext(ctx)
					response, err := h.RoundTripper("server").RoundTrip(r)
					switch {
					case err != nil:
						t.Error(err)
					case (n+i)%3 == 0:
						cancel()
						response.Body.Close()
					case (n+i)%3 == 1:
						response.Body.Close()
					default:
						if n, err := io.Copy(io.Discard, response.Body); n != 100<<12 || err != nil {
							t.Errorf("%d bytes, %v", n, err)
						}
					}
					cancel()
				}
			})
		}
		all.Wait()
		if m := quiet(h)["server"]; m.Calls != clients*requests || m.Ready > 4 {
			t.Errorf("%+v", m)
		}
	})
}

// TestHead has a response without content that tells the length of one.
func TestHead(t *testing.T) {
	eachWay(t, PerRequest, func(t *testing.T, kind backend.Kind, p Program) {
		h := running(t, Options{Machine: kind})
		deploy(t, h, p)
		response, err := h.RoundTripper("server").RoundTrip(httptest.NewRequest(http.MethodHead, "http://shop.example/count", nil))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(response.Body); len(b) > 0 || err != nil || response.StatusCode != http.StatusOK || response.ContentLength != 1 {
			t.Errorf("%q, %v, %+v", b, err, response)
		}
	})
}

// TestHostStops has a host end while a program sleeps.
func TestHostStops(t *testing.T) {
	failed := make(chan error, 1)
	t.Run("", func(t *testing.T) {
		h := running(t, Options{Machine: backend.Emulator})
		deploy(t, h, server(t, PerRequest))
		go func() {
			_, err := get(h, "server", "/sleep")
			failed <- err
		}()
		for h.Metrics()["server"].Busy == 0 {
			runtime.Gosched()
		}
	})
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "the host stops") {
		t.Error(err)
	}
}

func TestNeitherReadsNorListens(t *testing.T) {
	h := running(t, Options{Machine: backend.Emulator})
	for what, source := range map[string]string{
		"ends": "int main(){return 0;}", "waits": "#include <unistd.h>\nint main(){int p[2]; char c; pipe(p); return read(p[0],&c,1);}",
	} {
		if _, err := h.Deploy(t.Context(), Program{Name: what, Image: buildC(t, source)}); err == nil || !strings.Contains(err.Error(), "never reads, nor listens") {
			t.Errorf("a program that %s: %v", what, err)
		}
	}
	p := server(t, PerRequest)
	p.Listen, p.Env = 8080, append(p.Env, "BOTH=1") // one that reads, too, is asked where it listens if it is said
	deploy(t, h, p)
	for range 2 {
		mustGet(t, h, "server", "/count", "1")
	}
}

// buildC builds a C program for guests.
func buildC(t testing.TB, source string) []byte {
	t.Helper()
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	out := filepath.Join(dir, "program")
	cmd := exec.Command(gcc, "-O1", "-static", "-o", out, "-x", "c", "-")
	cmd.Stdin = strings.NewReader(source)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatal(string(text))
	}
	image, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// TestServerInC asks a loop of accept, read, write and close, whose responses end with the connection.
func TestServerInC(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		source, err := os.ReadFile("testdata/accept.c")
		if err != nil {
			t.Fatal(err)
		}
		h := running(t, Options{Machine: kind})
		deploy(t, h, Program{Name: "server", Image: buildC(t, string(source)), Isolation: PerInstance, Limits: Limits{CPU: 5 * time.Second, Wall: time.Minute}})
		for _, want := range []string{"1\n", "2\n", "3\n"} {
			mustGet(t, h, "server", "/", want)
		}
	})
}

// FuzzAnswer reads responses in two parts, and wants what parse makes of all at once.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x\r\nab\r\n1\r\nc\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nabc", "HTTP/1.1 200 OK\n\nabc",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nabc", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
	} {
		f.Add([]byte(s), len(s)/2)
	}
	request := httptest.NewRequest(http.MethodGet, "http://shop.example/", nil)
	f.Fuzz(func(t *testing.T, b []byte, cut int) {
		if cut < 0 || cut > len(b) {
			return
		}
		a := answer{request: request}
		var got []byte
		var failed error
		for _, part := range [][]byte{b[:cut], b[cut:]} {
			var content []byte
			if failed == nil {
				content, failed = a.feed(bytes.Clone(part))
				got = append(got, content...)
			}
		}
		if failed == nil && a.more {
			failed = errMore
		}
		if failed == nil {
			failed = a.end()
		}
		want, err := parse(b, request)
		if (failed == nil) != (err == nil) {
			t.Fatalf("in two parts %v, at once %v", failed, err)
		}
		if err != nil {
			return
		}
		if content, err := io.ReadAll(want.Body); err != nil || !bytes.Equal(content, got) || want.StatusCode != a.response.StatusCode {
			t.Errorf("%q in two parts, %q at once", got, content)
		}
	})
}

// TestOverdue looks at a turn that should have ended.
func TestOverdue(t *testing.T) {
	h, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := h.Overdue(); got != 0 {
		t.Errorf("nothing goes on, and is overdue by %v", got)
	}
	h.turning[&job{}] = &turn{process: new(linux.Process), begun: time.Now().Add(-time.Minute)}
	if got := h.Overdue(); got < time.Minute-turnMax || got > 2*time.Minute {
		t.Errorf("overdue by %v", got)
	}
}
