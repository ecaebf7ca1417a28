//go:build linux

package apart

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/compute/apart/link"
	"github.com/wherry/wherry/compute/apart/wire"
	"github.com/wherry/wherry/internal/confine"
	"github.com/wherry/wherry/vmm/backend"
)

const (
	// envStartup has the startup of a monitor.
	envStartup = "WHERRY_MONITOR"
	// spareProcs are Go's processors for everything but programs.
	spareProcs = 2
	// firstFile is the first of link.Files descriptors.
	firstFile = 3
)

// monitor is what runs in the process that is confined.
type monitor struct {
	host *compute.Host
	link *link.Link

	mu          sync.Mutex // guards what follows
	connections map[uint64]*compute.Connection
}

// Started reports whether this process was started by a Host, to be its monitor: for programs that are one by Monitor, such as tests.
func Started() bool {
	_, ok := os.LookupEnv(envStartup)
	return ok
}

// Monitor is the whole life of a process that a Host has started. It returns when the Host has gone.
func Monitor() error { return run(nil) }

// run is Monitor; inside is called once the process is confined, by tests.
func run(inside func(context.Context)) error {
	text, ok := os.LookupEnv(envStartup)
	if !ok {
		return errors.New("the monitor runs the programs of wherry dev, edge and run, which start it themselves; start one of those")
	}
	var s startup
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return fmt.Errorf("%s: %w", envStartup, err)
	}
	ends, err := link.Open(firstFile)
	if err != nil {
		return err
	}
	m := &monitor{connections: map[uint64]*compute.Connection{}}
	m.link = link.New(ends, link.Options{Handle: m.handle, Heard: m.heard})
	machine := backend.Settle()
	// Goroutines that compute hold their P for 10 ms; what comes over the rings isn't to wait for that.
	workers := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(workers + spareProcs)
	o := compute.Options{
		Workers: cmp.Or(s.Workers, workers),
		Machine: s.Machine, Memory: s.Memory, Instances: s.Most, Idle: time.Duration(s.Idle), Said: m.said,
		Log: slog.New(slog.NewJSONHandler(logLines{m.link}, nil)),
	}
	if s.Gate {
		o.Gate = http.HandlerFunc(m.ask)
	}
	m.host, err = compute.New(o)
	if err != nil {
		return err
	}
	report := confine.Enter(s.Confine)
	greeting, err := json.Marshal(hello{machine, report})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = m.host.Run(ctx) }) // it ends with ctx alone
	running.Go(func() {
		if overdue(ctx, m.host.Overdue, overdueEvery) {
			fmt.Fprintf(os.Stderr, "a program's turn doesn't end, %v after it should have\n", overdueMax)
			os.Exit(1)
		}
	})
	if err = m.link.Tell(topicHello, greeting); err == nil {
		if inside != nil {
			inside(ctx)
		}
		err = m.link.Run()
	}
	cancel()
	running.Wait()
	return err
}

const (
	overdueMax   = 10 * time.Second // for which a turn goes on beyond its end
	overdueEvery = time.Second
	overdueTimes = 3 // in a row that it was seen: who wasn't let run for a while isn't stuck
)

// overdue waits for a turn that doesn't end, and reports whether there was one before ctx was done.
func overdue(ctx context.Context, by func() time.Duration, every time.Duration) bool {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for times := 0; times < overdueTimes; {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return false
		}
		if times++; by() < overdueMax {
			times = 0
		}
	}
	return true
}

// logLines are told to the edge, which logs them.
type logLines struct{ link *link.Link }

func (l logLines) Write(p []byte) (int, error) {
	return len(p), l.link.Tell(topicLog, p[:min(len(p), wire.PieceMax)])
}

func (m *monitor) said(program, text string) {
	line, err := json.Marshal(saying{program, text})
	if err == nil && len(line) <= wire.PieceMax {
		_ = m.link.Tell(topicSaid, line) // to an edge that has gone
	}
}

func (m *monitor) heard(topic uint32, text []byte) {
	if topic != topicClosed || len(text) != 8 {
		return
	}
	id := binary.LittleEndian.Uint64(text)
	m.mu.Lock()
	c := m.connections[id]
	delete(m.connections, id)
	m.mu.Unlock()
	if c != nil {
		c.Close()
	}
}

// connection is the client's connection of a number.
func (m *monitor) connection(id uint64) *compute.Connection {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.connections[id]
	if c == nil {
		c = new(compute.Connection)
		m.connections[id] = c
	}
	return c
}

// handle answers a stream of the edge's.
func (m *monitor) handle(s *link.Stream) {
	if len(s.Head) == 0 {
		return
	}
	switch s.Head[0] {
	case verbRequest:
		m.answer(s)
	case verbPrepare:
		m.prepare(s)
	case verbRestore:
		m.restore(s)
	case verbMetrics:
		reply(s, m.host.Metrics())
	}
}

// reply answers with v in JSON.
func reply(s *link.Stream, v any) {
	err := s.SendHead(nil, nil, false)
	if err == nil {
		err = writeText(s, v)
	}
	if err == nil {
		err = s.CloseWrite()
	}
	if err != nil {
		s.Fail(err)
	}
}

// restore deploys programs, one after another, and removes all others.
func (m *monitor) restore(s *link.Stream) {
	all, _, err := readPrograms(s)
	if err != nil {
		s.Fail(err)
		return
	}
	var p prepared
	others := m.host.Metrics()
	for _, program := range all {
		delete(others, program.Name)
		if _, err := m.host.Deploy(s.Context(), program); err != nil {
			p.refuse(&compute.DeployError{Name: program.Name, Err: err})
		}
	}
	for name := range maps.Keys(others) {
		p.refuse(m.host.Remove(name))
	}
	reply(s, p)
}

// prepare has programs ready, and commits them or not.
func (m *monitor) prepare(s *link.Stream) {
	all, kept, err := readPrograms(s)
	if err != nil {
		s.Fail(err)
		return
	}
	var p prepared
	change, err := m.host.Prepare(s.Context(), all, kept...)
	if err != nil {
		p.refuse(err)
		reply(s, p)
		return
	}
	p.Reports = change.Reports()
	said := func() (b byte) {
		var one [1]byte
		if _, err := io.ReadFull(s, one[:]); err != nil {
			return sayDrop
		}
		return one[0]
	}
	if err = s.SendHead(nil, nil, false); err == nil {
		err = writeText(s, p)
	}
	if err != nil || said() != sayCommit {
		if err := change.Drop(); err != nil {
			s.Fail(err)
			return
		}
		_ = s.CloseWrite() // who doesn't wait for it needn't know
		return
	}
	change.Commit(func() {
		if _, err := s.Write([]byte{sayInstalled}); err == nil {
			said()
		}
	})
	_ = s.CloseWrite()
}
