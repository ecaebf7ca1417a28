//go:build linux

package apart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/compute/apart/link"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/internal/confine"
)

const (
	helloMax   = 30 * time.Second // from the start until a monitor is confined
	heardMax   = 256              // of what a monitor tells wait to be logged; more are dropped
	linesMax   = 100              // of a monitor's log are logged in a second
	countEvery = 5 * time.Second
	silenceMax = 20 * time.Second // from a question for the counts until a monitor that hasn't answered is ended
)

// session is one life of a monitor.
type session struct {
	host  *Host
	cmd   *exec.Cmd
	link  *link.Link
	words tail // standard error

	ended chan struct{} // closed once the process is known to have ended, for cause
	cause error

	hello chan hello  // has room for the one
	heard chan func() // what is to be done with what was told

	second time.Time // listen's: in which logged lines were logged
	logged int

	seen  map[string]compute.Metrics // host.mu: the counts when they were last asked for
	whole bool                       // host.mu: it has the host's programs, all of them
}

// supervise has one monitor after another run until the host is closed.
func (h *Host) supervise() {
	for h.ctx.Err() == nil {
		began := time.Now()
		err := h.life()
		if h.ctx.Err() != nil {
			return
		}
		h.mu.Lock()
		h.trouble = err
		h.restarts++
		wait := h.again.died(time.Since(began))
		h.tellLocked()
		h.mu.Unlock()
		h.o.Compute.Log.Error("the monitor of the programs has ended; another one is started", "error", err, "in", wait)
		select {
		case <-time.After(wait):
		case <-h.ctx.Done():
		}
	}
}

// life starts a monitor and returns why it has ended.
func (h *Host) life() error {
	// The monitor is to end with this process, and the kernel takes the thread that started it for that.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s, err := h.start()
	if err != nil {
		return fmt.Errorf("programs run in a process of their own, and that can't be started: %w", err)
	}
	h.mu.Lock()
	h.current = s
	h.mu.Unlock()
	var parts sync.WaitGroup
	parts.Go(func() {
		// A monitor that has gone says more by its exit status.
		if err := s.link.Run(); errors.Is(err, link.ErrBroken) {
			h.o.Compute.Log.Error("the monitor of the programs is ended", "error", err)
		}
		h.live.CompareAndSwap(s, nil)
		_ = s.cmd.Process.Kill()
	})
	listening, silent := context.WithCancel(context.Background())
	parts.Go(func() { s.listen(listening) })
	parts.Go(func() {
		if s.greet() {
			parts.Go(func() { s.watch(listening) })
			h.restore(s)
		}
	})
	stop := context.AfterFunc(h.ctx, func() { s.link.Close(context.Cause(h.ctx)) })
	err = s.cmd.Wait()
	stop()
	err = fmt.Errorf("the monitor has ended: %s%s", state(s.cmd, err), s.words.String())
	s.cause = err
	close(s.ended)
	s.link.Close(&fault.Error{Party: fault.Edge, Op: "run program", Status: http.StatusBadGateway, Retry: true, Err: err})
	h.end(s)
	silent()
	parts.Wait()
	return errors.Join(err, s.link.Free())
}

// state is how a process has ended.
func state(cmd *exec.Cmd, err error) string {
	if cmd.ProcessState != nil {
		return cmd.ProcessState.String()
	}
	return err.Error()
}

// start starts the process.
func (h *Host) start() (*session, error) {
	ends, files, err := link.Pair()
	if err != nil {
		return nil, err
	}
	s := &session{host: h, ended: make(chan struct{}), hello: make(chan hello, 1), heard: make(chan func(), heardMax)}
	o := h.o.Compute
	s.cmd, err = confine.Start(func(c confine.Options) *exec.Cmd {
		c.UID, c.GID = h.o.UID, h.o.GID
		text, _ := json.Marshal(startup{Machine: o.Machine, Memory: o.Memory, Most: o.Instances, Idle: int64(o.Idle), Workers: o.Workers, Gate: o.Gate != nil, Confine: c}) // strings and numbers
		return &exec.Cmd{
			Path: "/proc/self/exe", Args: h.o.Command, Env: append(environment(), append(h.o.Env, envStartup+"="+string(text))...),
			ExtraFiles: files, Stderr: &s.words, WaitDelay: time.Second,
		}
	})
	for _, f := range files {
		_ = f.Close() // the monitor has them
	}
	lo := link.Options{Heard: s.take}
	if o.Gate != nil {
		lo.Handle = s.handle
	}
	s.link = link.New(ends, lo)
	if err != nil {
		s.link.Close(err)
		return nil, errors.Join(err, s.link.Free())
	}
	return s, nil
}

// environment is what Go's runtime looks at, and nothing else.
func environment() (kept []string) {
	for _, name := range []string{"GODEBUG", "GOMAXPROCS", "GOGC", "GOTRACEBACK", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			kept = append(kept, name+"="+value)
		}
	}
	return kept
}

// greet waits until the monitor is confined, and reports whether it is.
func (s *session) greet() bool {
	h := s.host
	select {
	case hi := <-s.hello:
		level := slog.LevelInfo
		if !hi.Report.Whole() {
			level = slog.LevelWarn
		}
		h.o.Compute.Log.Log(context.Background(), level, "the monitor of the programs runs apart", "pid", s.cmd.Process.Pid, "confinement", hi.Report.String())
		h.mu.Lock()
		h.machine, h.report = hi.Machine, hi.Report
		h.mu.Unlock()
		return true
	case <-s.link.Context().Done():
	case <-time.After(helloMax):
		s.link.Close(fmt.Errorf("the monitor wasn't ready after %v", helloMax))
	}
	return false
}

// restore has s have the host's programs, and answer then.
func (h *Host) restore(s *session) {
	for s.link.Context().Err() == nil {
		h.mu.Lock()
		generation, programs := h.generation, h.programs
		s.whole = false
		h.mu.Unlock()
		var err error
		if len(programs) > 0 {
			if err = s.deploy(slices.Collect(maps.Values(programs))); err != nil && s.link.Context().Err() == nil {
				h.o.Compute.Log.Error("programs can't be used after a restart of the monitor; deploy them again", "error", err)
			}
		}
		h.mu.Lock()
		if h.generation == generation && h.current == s {
			s.whole = err == nil
			h.live.Store(s)
			h.trouble, h.served = nil, true
			h.tellLocked()
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
	}
}

// end takes s, which has ended, out of use, and keeps its counts.
func (h *Host) end(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.live.CompareAndSwap(s, nil)
	h.current = nil
	for name, m := range s.seen {
		if _, ok := h.programs[name]; ok {
			h.before[name] = sum(h.before[name], m)
		}
	}
	s.seen = nil
}

// take hears what a monitor tells. What it says beyond what can be logged is dropped: a slow log isn't to hold up calls.
func (s *session) take(topic uint32, text []byte) {
	var do func()
	switch topic {
	case topicHello:
		var hi hello
		if json.Unmarshal(text, &hi) == nil {
			select {
			case s.hello <- hi:
			default: // a second one is not listened to
			}
		}
		return
	case topicSaid:
		var said saying
		if json.Unmarshal(text, &said) != nil || s.host.o.Compute.Said == nil {
			return
		}
		do = func() { s.host.o.Compute.Said(said.Program, said.Text) }
	case topicLog:
		line := strings.Clone(string(text))
		do = func() { s.log(line) }
	default:
		return
	}
	select {
	case s.heard <- do:
	default:
	}
}

// log logs a line of the monitor's.
func (s *session) log(line string) {
	if second := time.Now().Truncate(time.Second); !second.Equal(s.second) {
		s.second, s.logged = second, 0
	}
	if s.logged++; s.logged > linesMax {
		return
	}
	level, message, attrs := slog.LevelInfo, "", []any(nil)
	d := json.NewDecoder(strings.NewReader(line))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return
	}
	for d.More() {
		key, err := d.Token()
		var value any
		if err = errors.Join(err, d.Decode(&value)); err != nil {
			return
		}
		switch text, _ := value.(string); key {
		case slog.TimeKey:
		case slog.LevelKey:
			_ = level.UnmarshalText([]byte(text)) // one that there isn't is info
		case slog.MessageKey:
			message = text
		default:
			attrs = append(attrs, key, value)
		}
	}
	s.host.o.Compute.Log.Log(context.Background(), level, message, attrs...)
}

// listen does what was told, until ctx is done.
func (s *session) listen(ctx context.Context) {
	for {
		select {
		case do := <-s.heard:
			do()
		case <-ctx.Done():
			return
		}
	}
}

// watch counts now and then, until ctx is done, and ends a monitor that lives but doesn't answer.
func (s *session) watch(ctx context.Context) {
	h := s.host
	ticks := time.NewTicker(min(countEvery, h.silence))
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
		if !s.count(h.silence) {
			h.o.Compute.Log.Error("the monitor of the programs stands still; it is ended", "silent for", h.silence)
			s.link.Close(&fault.Error{Party: fault.Edge, Op: "run program", Status: http.StatusBadGateway, Retry: true, Err: fmt.Errorf("the monitor stood still for %v", h.silence)})
			return
		}
	}
}

// tailMax is how much of what a monitor wrote to standard error is kept: of a panic, the beginning of the first goroutine.
const tailMax = 4 << 10

// tail keeps the beginning of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p[:min(len(p), tailMax-len(t.text))]...)
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.text) == 0 {
		return ""
	}
	return "; it said: " + strings.ToValidUTF8(strings.TrimSpace(string(t.text)), "\uFFFD")
}
