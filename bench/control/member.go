package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/mesh"
)

// memberConfig is what a member's process is told.
type memberConfig struct {
	Name, Dir, Identity string
	Authority           string // directory
	Listen              string // and what others reach it at
	Socket              string // where it is asked
	Members             map[string]string
	Election            time.Duration
}

const (
	readyLine = "ready"
	// serverName is what the certificates of control nodes are good for.
	serverName = "control.wherry.internal"
	// fileMax is what a file may have when its disk is full: less than etcd's files have already.
	fileMax = 4096
)

// question is what a member is asked, and answer what it says.
type question struct {
	Op         string // get, put, cas, act, history, health, add, promote, cut, full; of control: found, change, steps
	Key, Value string
	At         int64
	All        bool
	Nodes      []config.NodeID
}

type answer struct {
	Value   string
	Found   bool
	At      int64
	Term    int64
	Values  []string // of history: each value that the key had
	Health  store.Health
	Leading bool   // control's leader
	Outcome string // ok, conflict, unknown, none (certainly not done)
	Error   string
}

// member is a process that runs one member.
type member struct {
	*store.Store
	name   string
	mesh   *mesh.Mesh
	office *office
	term   atomic.Pointer[store.Term] // the last one, over or not
}

// runMember is the main function of a member's process. It ends with its standard input.
func runMember(text string) error {
	var c memberConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	signal.Ignore(syscall.SIGXFSZ) // the error is what is wanted
	id, err := mesh.OpenIdentity(c.Identity)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return err
	}
	m := &member{name: c.Name, mesh: mesh.New(id, mesh.Options{})}
	o := store.Options{
		Name: c.Name, Dir: c.Dir, PeerListener: m.mesh.Listener(l, mesh.ListenOptions{}), PeerURL: "https://" + c.Listen,
		Members: c.Members, Election: c.Election, Log: slog.New(slog.NewTextHandler(os.Stdout, nil)),
	}
	o.PeerTLS.Cert, o.PeerTLS.Key, o.PeerTLS.CA = id.Files()
	o.PeerTLS.ServerName = serverName
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if m.Store, err = store.Open(ctx, o); err != nil {
		return err
	}
	if m.office, err = newOffice(&c, m.Store); err != nil {
		return err
	}
	go func() { _ = m.office.Run(ctx) }()
	go m.lead(ctx)
	_ = os.Remove(c.Socket)
	s, err := net.Listen("unix", c.Socket)
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(s, m) }()
	fmt.Println(readyLine)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

// lead is the leader of the work whenever it can be.
func (m *member) lead(ctx context.Context) {
	for ctx.Err() == nil {
		term, err := m.Campaign(ctx, control.LeaderName)
		if err != nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		m.term.Store(term)
		_ = m.office.Lead(ctx, term) // until the term is over
	}
}

func (m *member) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q question
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a, err := m.answer(r.Context(), q)
	a.Outcome = "ok"
	switch {
	case err == nil:
	case errors.Is(err, store.ErrConflict):
		a.Outcome = "conflict"
	case errors.Is(err, store.ErrUnknown):
		a.Outcome, a.Error = "unknown", err.Error()
	default:
		a.Outcome, a.Error = "none", err.Error()
	}
	_ = json.NewEncoder(w).Encode(a)
}

func (m *member) answer(ctx context.Context, q question) (a answer, err error) {
	put := []store.Put{{Key: q.Key, Value: []byte(q.Value)}}
	switch q.Op {
	case "get":
		kv, ok, err := m.Get(ctx, q.Key)
		return answer{Value: string(kv.Value), Found: ok, At: kv.Changed}, err
	case "put":
		a.At, err = m.Commit(ctx, store.Txn{Put: put})
	case "cas":
		a.At, err = m.Commit(ctx, store.Txn{If: []store.Cond{store.Unchanged(q.Key, q.At)}, Put: put})
	case "act":
		return m.act(ctx, q)
	case "history":
		return m.history(ctx, q)
	case "health":
		a.Health = m.Health()
		if term := m.term.Load(); term != nil {
			select {
			case <-term.Done():
			default:
				a.Leading = true
			}
		}
		if a.Health.Err != nil {
			a.Error, a.Health.Err = a.Health.Err.Error(), nil
		}
	case "add":
		err = m.AddLearner(ctx, q.Key)
	case "promote":
		err = m.Promote(ctx, q.Key)
	case "cut":
		m.mesh.Cut(q.All, q.Nodes...)
	case "found":
		err = m.office.found(ctx, m.name)
	case "change":
		err = m.office.change(ctx, q.Key, q.Value)
	case "steps":
		return m.stepsIn(ctx, q)
	case "full":
		err = syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: fileMax, Max: fileMax})
	default:
		err = fmt.Errorf("nobody knows how to %q", q.Op)
	}
	return a, err
}

// act does the leader's work with the last term that this member had. A term that is over must be refused by the store.
func (m *member) act(ctx context.Context, q question) (answer, error) {
	term := m.term.Load()
	if term == nil {
		return answer{}, errors.New("never led")
	}
	value := fmt.Sprintf("%d %s", term.Number(), q.Value)
	at, err := m.Commit(ctx, store.Txn{If: []store.Cond{term.Cond()}, Put: []store.Put{{Key: q.Key, Value: []byte(value)}}})
	return answer{At: at, Term: term.Number()}, err
}

var errSeen = errors.New("seen")

// history returns the values that a key had from a revision on, until it has one.
func (m *member) history(ctx context.Context, q question) (a answer, err error) {
	err = m.Watch(ctx, q.Key, q.At, func(events []store.Event) error {
		for _, e := range events {
			if string(e.Value) == q.Value {
				return errSeen
			}
			a.Values = append(a.Values, string(e.Value))
		}
		return nil
	})
	if errors.Is(err, errSeen) {
		err = nil
	}
	return a, err
}
