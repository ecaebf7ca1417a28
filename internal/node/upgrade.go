package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/wherry/wherry/control"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/internal/handover"
)

const (
	// goodAfter is how long a program must have served to be the one that others are fallen back to.
	goodAfter = 10 * time.Second
	// upgradeWithin bounds the fetch of a program and the start of it.
	upgradeWithin = 2 * time.Minute
	// serveWithin is how long the next program may take to serve.
	serveWithin = 20 * time.Second
	// againAfter is when what couldn't be had for a new process is asked for again.
	againAfter = 2 * time.Second
)

// What can't be done now, and says nothing of the program.
var (
	errFetch = errors.New("the program couldn't be fetched; trying again")
	errLater = errors.New("this node can't take other roles yet; trying again")
)

// upgrading is the change to another program. Its fields belong to the goroutine of follow.
type upgrading struct {
	all   sync.WaitGroup
	busy  bool
	good  bool // this program has proved good
	seen  bool // of has been looked at
	of    feed.Ref
	why   string    // it isn't run
	waits string    // why it isn't here yet
	again time.Time // when to ask for it again
	roles *Settings // that this node is to have, in a new process; nil: those that it has
	done  chan error
}

func (u *upgrading) stop() { u.all.Wait() }

// successor is the program that takes over.
type successor struct {
	child   *handover.Child
	program feed.Hash // zero: this one, or the one that the machine was installed with
	upgrade bool      // it is another program
}

// upgrade looks each second whether this node is to run another program, and begins with that.
func (f *follower) upgrade(ctx context.Context) {
	u, n := &f.upgrading, f.n
	if n.o.Programs == nil || n.successor.Load() != nil {
		return
	}
	if !u.good && time.Since(n.began) > goodAfter {
		u.good = true
		if err := n.o.Programs.Good(n.program); err != nil {
			n.log.Warn("that this program is good couldn't be noted", "error", err)
		}
	}
	if u.busy {
		select {
		case err := <-u.done:
			u.busy = false
			switch {
			case errors.Is(err, errFetch), errors.Is(err, errLater):
				u.seen, u.waits, u.again = false, err.Error(), time.Now().Add(againAfter)
				n.log.Warn("this node goes on as it is for now", "error", err)
			case err != nil:
				u.why = err.Error()
				n.log.Error("this node goes on with its program", "error", err)
			}
		default:
		}
		return
	}
	if next := u.roles; next != nil && time.Now().After(u.again) {
		u.busy, u.waits, u.done = true, "", make(chan error, 1)
		u.all.Go(func() { u.done <- n.become(ctx, next) })
		return
	}
	if !f.told || u.seen && f.software == u.of || f.software == u.of && time.Now().Before(u.again) {
		return
	}
	u.seen, u.of, u.why, u.waits = true, f.software, "", ""
	if f.software.IsZero() && n.own {
		return
	}
	u.busy, u.done = true, make(chan error, 1)
	ref := f.software
	u.all.Go(func() { u.done <- n.change(ctx, ref) })
}

// change starts the program that a document names; where there is none, the one that the machine was installed with. When it has prepared, this
// one makes room.
func (n *Node) change(ctx context.Context, ref feed.Ref) error {
	ctx, cancel := context.WithTimeout(ctx, upgradeWithin)
	defer cancel()
	var s feed.Software
	if !ref.IsZero() {
		data, err := n.tree.Object(ctx, ref.Object)
		if err != nil {
			return fmt.Errorf("%w: %w", errFetch, err)
		}
		if err := json.Unmarshal(data, &s); err != nil {
			return fmt.Errorf("what names the program: %w", err)
		}
	}
	path, err := n.programOf(ctx, &s)
	if err != nil || path == "" {
		return err
	}
	if err := n.o.Programs.Try(s.Program); err != nil {
		return err
	}
	doors, handed, err := n.doors.HandOver()
	if err != nil {
		return err
	}
	child, err := handover.Start(ctx, handover.Options{Program: path, Args: os.Args, Doors: doors, Serve: serveWithin})
	handed(err == nil)
	if err != nil {
		return errors.Join(err, n.o.Programs.GiveUp(s.Program, err.Error()))
	}
	n.log.Info("making room for another program", "version", s.Version, "pid", child.Pid())
	n.successor.Store(&successor{child, s.Program, true})
	n.makeRoom()
	return nil
}

// programOf returns the path of the program that is to be run; empty: it is what runs.
func (n *Node) programOf(ctx context.Context, s *feed.Software) (path string, err error) {
	switch {
	case s.Program.IsZero() && n.own, s.Program == n.program:
		return "", nil
	case s.Program.IsZero():
		n.log.Info("going back to the program that this machine was installed with")
		return n.o.Programs.Own()
	}
	if h, why, err := n.o.Programs.GivenUp(); err == nil && h == s.Program {
		return "", fmt.Errorf("this program was tried and given up: %s", why)
	}
	n.log.Info("fetching another program", "version", s.Version)
	if path, err = n.fetch(ctx, s.Program); err != nil {
		return "", fmt.Errorf("%w: %w", errFetch, err)
	}
	return path, nil
}

// fetch gets a program from this node's control, or from another's.
func (n *Node) fetch(ctx context.Context, h feed.Hash) (path string, err error) {
	if path, err := n.o.Programs.Verified(h); err == nil {
		return path, nil
	}
	if st := n.station.Load(); st != nil {
		file, err := st.control.Program(ctx, h)
		if err != nil {
			return "", err
		}
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		return n.o.Programs.Put(h, f)
	}
	err = n.askFor(ctx, &http.Client{Transport: n.toControl}, http.MethodGet, control.NodePrefix+"programs/"+h.String(), nil, func(r io.Reader) (err error) {
		path, err = n.o.Programs.Put(h, r)
		return err
	})
	return path, err
}

// handOver lets the next program serve, if there is one.
func (n *Node) handOver() error {
	next := n.successor.Load()
	if next == nil {
		return nil
	}
	if err := n.keeper.Close(); err != nil {
		n.log.Warn("the keeper isn't closed as it should be", "error", err)
	}
	_ = handover.Notify(handover.MainPID(next.child.Pid())) // nobody listens without systemd
	if err := next.child.Go(context.Background()); err != nil && !next.upgrade {
		return fmt.Errorf("%w; it is started again", err)
	} else if err != nil {
		return errors.Join(fmt.Errorf("%w; the former program serves again after a restart", err), n.o.Programs.GiveUp(next.program, err.Error()))
	}
	n.doors.Away()
	n.log.Info("another program has taken over")
	return nil
}
