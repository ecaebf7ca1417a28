package handover

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// running is a server that the test talks to.
type running struct {
	http, udp, unix string
}

func start(t *testing.T) *running {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envRole+"=serve", "HANDOVER_TEST_FILE="+dir)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	// A file: programs that come after have it too, and Wait is not to wait for them.
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = in
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
		_ = out.Close()
	})
	_ = in.Close()
	r := &running{unix: filepath.Join(dir, "socket")}
	line, err := bufio.NewReader(out).ReadString('\n')
	if _, scanErr := fmt.Sscan(line, &r.http, &r.udp); err != nil || scanErr != nil {
		t.Fatal(line, err, scanErr)
	}
	return r
}

// ask returns the process that answers, over a connection of its own.
func (r *running) ask(t *testing.T) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + r.http)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func (r *running) tell(t *testing.T, what string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post("http://"+r.http+"/"+what, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
}

// load asks in every way until stop is closed.
type load struct {
	wg       sync.WaitGroup
	stop     chan struct{}
	requests atomic.Int64
	failed   atomic.Int64
	clients  []*http.Client
	first    atomic.Value
}

func (l *load) run(f func() error) {
	l.wg.Go(func() {
		for {
			select {
			case <-l.stop:
				return
			default:
			}
			l.requests.Add(1)
			if err := f(); err != nil {
				l.failed.Add(1)
				l.first.CompareAndSwap(nil, err.Error())
			}
		}
	})
}

func get(c *http.Client, url string) func() error {
	return func() error {
		resp, err := c.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.ReadAll(resp.Body); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	}
}

func (l *load) begin(t *testing.T, r *running) {
	l.stop = make(chan struct{})
	for range 4 {
		kept := &http.Client{Transport: &http.Transport{}}
		l.clients = append(l.clients, kept)
		l.run(get(kept, "http://"+r.http))
		l.run(get(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+r.http))
	}
	dial := func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", r.unix) }
	l.run(get(&http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}, "http://unix"))
	c, err := net.Dial("udp", r.udp)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	n := 0
	l.run(func() error {
		n++
		want, buf := fmt.Sprint(n), make([]byte, 100)
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := c.Write([]byte(want)); err != nil {
			return err
		}
		k, err := c.Read(buf)
		if err == nil && string(buf[:k]) != want {
			err = fmt.Errorf("udp: %q instead of %q", buf[:k], want)
		}
		time.Sleep(time.Millisecond)
		return err
	})
}

func (l *load) end(t *testing.T) {
	close(l.stop)
	l.wg.Wait()
	for _, c := range l.clients {
		c.CloseIdleConnections()
	}
	t.Logf("%d requests", l.requests.Load())
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed, the first: %v", n, l.requests.Load(), l.first.Load())
	}
}

// Twenty hand-overs, and as many that fail in between, and nobody notices.
func TestHandoversUnderLoad(t *testing.T) {
	r := start(t)
	var l load
	l.begin(t, r)
	last := r.ask(t)
	pids := map[string]bool{last: true}
	for i := range 20 {
		if i%4 == 3 {
			r.tell(t, []string{"crash", "refuse", "late%20crash", "late%20refuse", "late%20hang"}[i/4])
		}
		r.tell(t, "serve")
		for tries := 0; pids[last]; tries++ {
			if last = r.ask(t); tries > 100_000 {
				t.Fatal("the next program doesn't serve")
			}
		}
		pids[last] = true
	}
	l.end(t)
	r.tell(t, "quit")
	if len(pids) != 21 {
		t.Errorf("%d programs served", len(pids))
	}
	for range 1000 {
		if _, err := os.Stat(r.unix); errors.Is(err, os.ErrNotExist) {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Error("the last program has left its unix socket")
}

// open makes doors in this process, the old program of the tests below.
func open(t *testing.T) Doors {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	if err != nil {
		t.Fatal(err)
	}
	return Doors{Listeners: map[string]net.Listener{"http": l, "unix": x}, Packets: map[string]net.PacketConn{"dns": u}}
}

// reach connects to each door, and has the connection accepted here.
func reach(t *testing.T, d Doors) {
	t.Helper()
	for name, l := range d.Listeners {
		c, err := net.Dial(l.Addr().Network(), l.Addr().String())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Error(err)
		}
		a, err := l.Accept()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else {
			_ = a.Close()
		}
		_ = c.Close()
	}
	for name, p := range d.Packets {
		c, err := net.Dial("udp", p.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("x"))
		_ = p.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, _, err := p.ReadFrom(make([]byte, 10)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_ = c.Close()
	}
}

func options(t *testing.T, role string, d Doors) Options {
	return Options{
		Program: os.Args[0], Env: append(os.Environ(), envRole+"="+role, "HANDOVER_TEST_FILE="+filepath.Join(t.TempDir(), "file")), Doors: d,
		Prepare: 20 * time.Second, Serve: 20 * time.Second,
	}
}

// hasNoChildren fails if a process of ours is left, even a dead one.
func hasNoChildren(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid()))
	if err == nil && len(data) > 0 {
		t.Errorf("children are left: %s", data)
	}
}

func TestAProgramThatDoesNotStart(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("no program"), 0o644); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no program"), 0o755); err != nil {
		t.Fatal(err)
	}
	d := open(t)
	defer d.Close()
	reach(t, d)
	before := descriptors(3, false)
	for _, c := range []struct{ role, program, want string }{
		{"crash", "", "ended before it said"},
		{"hang", "", "hasn't said \"prepared\" within 200ms"},
		{"refuse", "", "line 3:; no such thing"},
		{"", plain, "permission denied"},
		{"", text, "exec format error"},
		{"", plain + "gone", "no such file"},
		{"", "/bin/true", "ended before it said"},
		{"descriptors", "", "has " + descriptors(firstDoor+3, true)},
	} {
		o := options(t, c.role, d)
		if c.program != "" {
			o.Program = c.program
		}
		if c.role == "hang" {
			o.Prepare = 200 * time.Millisecond
		}
		_, err := Start(t.Context(), o)
		if !errors.Is(err, ErrStart) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v", c.role, c.program, err)
		}
		reach(t, d)
		hasNoChildren(t)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := Start(ctx, options(t, "hang", d)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if after := descriptors(3, false); after != before {
		t.Errorf("descriptors before: %s, after: %s", before, after)
	}
}

func TestAProgramThatDoesNotServe(t *testing.T) {
	for _, c := range []struct{ role, want string }{
		{"late crash", "ended before it said"},
		{"late hang", "hasn't said \"serving\" within 200ms"},
		{"late refuse", "the lock is taken"},
	} {
		t.Run(c.role, func(t *testing.T) {
			before := descriptors(3, false)
			d := open(t)
			path := d.Listeners["unix"].Addr().String()
			o := options(t, c.role, d)
			if c.role == "late hang" {
				o.Serve = 200 * time.Millisecond
			}
			child, err := Start(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if err := child.Go(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
			hasNoChildren(t)
			again, err := child.Doors()
			if err != nil {
				t.Fatal(err)
			}
			reach(t, again)
			if err := again.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the unix socket is left: %v", err)
			}
			if after := descriptors(3, false); after != before {
				t.Errorf("descriptors before: %s, after: %s", before, after)
			}
		})
	}
}

func TestAbandon(t *testing.T) {
	d := open(t)
	defer d.Close()
	before := descriptors(3, false)
	child, err := Start(t.Context(), options(t, "abandoned", d))
	if err != nil {
		t.Fatal(err)
	}
	child.Abandon()
	hasNoChildren(t)
	reach(t, d)
	if after := descriptors(3, false); after != before {
		t.Errorf("descriptors before: %s, after: %s", before, after)
	}
}

// The old program dies after the new one has prepared: that one must not serve beside what is started in its place.
func TestAnOldProgramThatDies(t *testing.T) {
	d := open(t)
	defer d.Close()
	o := options(t, "abandoned", d)
	child, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	child.closePipes()
	state, err := child.process.Wait()
	if err != nil || state.ExitCode() != 1 {
		t.Error(state, err)
	}
	child.process = nil
	child.Abandon()
	_, file, _ := strings.Cut(o.Env[len(o.Env)-1], "=")
	if said, err := os.ReadFile(file); err != nil || string(said) != ErrParentGone.Error() {
		t.Errorf("%s %v", said, err)
	}
}

func TestADoorThatCannotBeHandedOver(t *testing.T) {
	c, s := net.Pipe()
	defer c.Close()
	defer s.Close()
	d := open(t)
	defer d.Close()
	d.Listeners["pipe"] = noSocket{}
	before := descriptors(3, false)
	if _, err := Start(t.Context(), options(t, "serve", d)); !errors.Is(err, ErrStart) || !strings.Contains(err.Error(), "pipe can't be handed over: a handover.noSocket") {
		t.Error(err)
	}
	delete(d.Listeners, "pipe")
	if after := descriptors(3, false); after != before {
		t.Errorf("descriptors before: %s, after: %s", before, after)
	}
}

type noSocket struct{ net.Listener }

func TestInheritedNothing(t *testing.T) {
	if p, d, err := Inherited(); p != nil || d.Listeners != nil || err != nil {
		t.Error(p, d, err)
	}
	t.Setenv(envDoors, `{"`)
	if _, _, err := Inherited(); err == nil || !strings.Contains(err.Error(), "unset it") {
		t.Error(err)
	}
}

func FuzzInheritedSockets(f *testing.F) {
	f.Add(`[{"name":"http"},{"name":"dns","packet":true}]`)
	f.Add(`[{"name":"http"},{"name":"http"}]`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := inheritedSockets(text)
		if err == nil && (len(s.doors) != len(s.fds) || len(s.fds) > doorsMax) {
			t.Errorf("%d doors, %d descriptors", len(s.doors), len(s.fds))
		}
	})
}

func TestNotify(t *testing.T) {
	if err := Notify(Ready); err != nil {
		t.Error("without systemd:", err)
	}
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), fmt.Sprintf("@wherry-test-%d", os.Getpid())} {
		c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("NOTIFY_SOCKET", name)
		if err := Notify(MainPID(42), Ready, Status("two\nlines"), Reloading()); err != nil {
			t.Error(err)
		}
		buf := make([]byte, 1000)
		n, err := c.Read(buf)
		if got := string(buf[:n]); err != nil || !strings.HasPrefix(got, "MAINPID=42\nREADY=1\nSTATUS=two lines\nRELOADING=1\nMONOTONIC_USEC=") || strings.HasSuffix(got, "=0") {
			t.Errorf("%q %v", got, err)
		}
		_ = c.Close()
		if err := Notify(Stopping); err == nil {
			t.Error("nobody is there, and nothing is said of it")
		}
	}
	t.Setenv("NOTIFY_SOCKET", "vsock:2:1")
	if err := Notify(Ready); err == nil {
		t.Error("vsock")
	}
}
