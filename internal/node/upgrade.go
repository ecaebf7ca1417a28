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
	// fetchAgain is how long a node waits before it asks again for a program: control changes its own at the same time.
	fetchAgain = 2 * time.Second
	// serveWithin is how long the next program may take to serve.
	serveWithin = 20 * time.Second
)

var errNotFetched = errors.New("the program couldn't be fetched; trying again")

// upgrading is the change to another program. Its fields belong to the goroutine of follow.
type upgrading struct {
	all  sync.WaitGroup
	busy bool
	good bool // this program has proved good
	of   feed.Ref
	next time.Time // when to try again what couldn't be fetched
	why  string    // it isn't run
	done chan error
}

func (u *upgrading) stop() { u.all.Wait() }

// successor is the program that takes over.
type successor struct {
	child   *handover.Child
	program feed.Hash
}

// upgrade looks each second whether this node is to run another program, and begins with that.
func (f *follower) upgrade(ctx context.Context) {
	u, n := &f.upgrading, f.n
	if n.o.Programs == nil {
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
			u.busy, u.why = false, ""
			if err != nil {
				u.why = err.Error()
				n.log.Error("this node goes on with its program", "error", err)
			}
			if errors.Is(err, errNotFetched) {
				u.of, u.next = feed.Ref{}, time.Now().Add(fetchAgain)
			}
		default:
		}
		return
	}
	if f.software.IsZero() || f.software == u.of || time.Now().Before(u.next) {
		return
	}
	u.of, u.why = f.software, ""
	u.busy, u.done = true, make(chan error, 1)
	ref := f.software
	u.all.Go(func() { u.done <- n.change(ctx, ref) })
}

// change fetches the program that a document names and starts it. When it has prepared, this one makes room.
func (n *Node) change(ctx context.Context, ref feed.Ref) error {
	ctx, cancel := context.WithTimeout(ctx, upgradeWithin)
	defer cancel()
	data, err := n.tree.Object(ctx, ref.Object)
	if err != nil {
		return errors.Join(errNotFetched, err)
	}
	var s feed.Software
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("what names the program: %w", err)
	}
	if s.Program == n.program {
		return nil
	}
	if h, why, err := n.o.Programs.GivenUp(); err == nil && h == s.Program {
		return fmt.Errorf("this program was tried and given up: %s", why)
	}
	n.log.Info("fetching another program", "version", s.Version)
	path, err := n.fetch(ctx, s.Program)
	if err != nil {
		return errors.Join(errNotFetched, err)
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
	n.successor.Store(&successor{child, s.Program})
	n.makeRoom()
	return nil
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
	if err := next.child.Go(context.Background()); err != nil {
		return errors.Join(fmt.Errorf("%w; the former program serves again after a restart", err), n.o.Programs.GiveUp(next.program, err.Error()))
	}
	n.doors.Away()
	n.log.Info("another program has taken over")
	return nil
}
