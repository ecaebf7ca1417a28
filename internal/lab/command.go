package lab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/wherry/wherry/internal/node"
)

// The commands that others may give.
var commands = []string{"kill", "pause", "resume", "restart", "cut"}

// listenDoor opens the lab's door, and finds out whether somebody else has it.
func listenDoor(dir string) (net.Listener, error) {
	file, err := node.DoorPath(dir)
	if err != nil {
		return nil, err
	}
	if conn, err := net.Dial("unix", file); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("a lab runs in %s already; stop it, or choose another --dir", dir)
	}
	return node.ListenDoor(dir)
}

// Command has a running lab do something to a node: kill (SIGKILL), pause (SIGSTOP), resume (SIGCONT, and no longer cut off), restart, or
// cut (nothing passes between it and the other nodes, or one other). It returns the node's state in JSON.
func Command(ctx context.Context, dir, what, name string, other ...string) (string, error) {
	if !slices.Contains(commands, what) {
		return "", fmt.Errorf("%q isn't one of %s", what, strings.Join(commands, ", "))
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	text, err := node.AskDoor(ctx, dir, "/"+what+"?"+url.Values{"node": {name}, "other": other}.Encode(), nil)
	if errors.As(err, new(*net.OpError)) {
		return "", fmt.Errorf("no lab runs in %s: start it with wherry lab --dir %s", dir, dir)
	}
	return string(text), err
}

// state is what a command answers.
type state struct {
	Node  string `json:"node"`
	PID   int    `json:"pid"`
	State string `json:"state"` // runs, paused, dead
	Cut   bool   `json:"cut"`   // from all others
	// CutFrom are the others from which it is cut off in particular.
	CutFrom []string `json:"cut_from,omitempty"`
}

// pair are two nodes, in the order of their names.
type pair [2]string

func pairOf(a, b string) pair { return pair{min(a, b), max(a, b)} }

// commands answers those who steer the lab.
func (l *Lab) commands() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, other := r.FormValue("node"), r.FormValue("other")
		m, from := l.find(name), l.find(other)
		if missing := cmp.Or(name, "?"); m == nil || other != "" && from == nil {
			if m != nil {
				missing = other
			}
			http.Error(w, fmt.Sprintf("no node %q in this lab; it has %s", missing, strings.Join(l.names(), ", ")), http.StatusNotFound)
			return
		}
		if m == from {
			http.Error(w, name+" can't be cut off from itself: name two nodes", http.StatusConflict)
			return
		}
		if err := l.do(r.Context(), strings.TrimPrefix(r.URL.Path, "/"), m, from); err != nil {
			http.Error(w, name+": "+err.Error(), http.StatusConflict)
			return
		}
		pid, now := m.current()
		l.mu.Lock()
		st := state{name, pid, now, l.cut[name], l.cutFrom(name)}
		l.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(st) // an error means that the client left
	})
}

// find returns a node by its name; nil: there is none.
func (l *Lab) find(name string) *machine {
	for _, m := range l.nodes {
		if m.name() == name {
			return m
		}
	}
	return nil
}

// cutFrom are the nodes from which one is cut off in particular. The caller holds mu.
func (l *Lab) cutFrom(name string) (list []string) {
	for p := range l.pairs {
		if p[0] == name {
			list = append(list, p[1])
		} else if p[1] == name {
			list = append(list, p[0])
		}
	}
	slices.Sort(list)
	return list
}

func (l *Lab) names() (list []string) {
	for _, m := range l.nodes {
		list = append(list, m.name())
	}
	return list
}

func (l *Lab) do(ctx context.Context, what string, m, from *machine) error {
	switch what {
	case "kill":
		err := m.signal(syscall.SIGKILL)
		l.awaitGone(m)
		return err
	case "pause":
		return m.signal(syscall.SIGSTOP)
	case "resume":
		if _, now := m.current(); now == "paused" {
			if err := m.signal(syscall.SIGCONT); err != nil {
				return err
			}
		}
		return l.setCut(ctx, m, nil, false)
	case "restart":
		m.end(stopPatience)
		l.awaitGone(m)
		m.revive()
		return l.awaitRuns(ctx, m)
	case "cut":
		return l.setCut(ctx, m, from, true)
	}
	return fmt.Errorf("%q isn't one of %s", what, strings.Join(commands, ", "))
}

func (l *Lab) awaitGone(m *machine) {
	m.mu.Lock()
	gone := m.gone
	m.mu.Unlock()
	<-gone
}

// awaitRuns waits until the node answers at its own door.
func (l *Lab) awaitRuns(ctx context.Context, m *machine) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := l.tellCut(ctx, m)
		if err == nil || !sleep(ctx, 50*time.Millisecond) {
			return err
		}
	}
}

// setCut tells all nodes who is cut off; from nil: from all others. Those that don't run are told when they do. A node that is healed is so from all.
func (l *Lab) setCut(ctx context.Context, m, from *machine, cut bool) error {
	l.mu.Lock()
	switch {
	case cut && from != nil:
		l.pairs[pairOf(m.name(), from.name())] = true
	case cut:
		l.cut[m.name()] = true
	default:
		delete(l.cut, m.name())
		maps.DeleteFunc(l.pairs, func(p pair, _ bool) bool { return p[0] == m.name() || p[1] == m.name() })
	}
	l.mu.Unlock()
	var errs []error
	for _, other := range l.nodes {
		if _, now := other.current(); now == "runs" {
			if err := l.tellCut(ctx, other); err != nil {
				errs = append(errs, fmt.Errorf("tell %s: %w", other.name(), err))
			}
		}
	}
	return errors.Join(errs...)
}

// tellCut tells a node whom it can't reach.
func (l *Lab) tellCut(ctx context.Context, m *machine) error {
	l.mu.Lock()
	all := l.cut[m.name()]
	names := append(slices.Sorted(maps.Keys(l.cut)), l.cutFrom(m.name())...)
	l.mu.Unlock()
	return node.Cut(ctx, m.dir, all, names)
}
