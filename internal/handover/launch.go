package handover

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/wherry/wherry/feed"
)

// envLaunched is the hash of the program that Launch has run, for that program's own Launch: the start has been counted.
const envLaunched = "WHERRY_LAUNCHED"

// launch is what a start is to do.
type launch struct {
	run   string // path; empty: go on as we are
	hash  feed.Hash
	next  record
	write bool
}

// Launch runs the program that this node is to run, if that is another one than this: then it doesn't return. It is the first thing that
// main does with the node's directory. A program that wasn't good yet and is started a third time has died twice: the former one is
// run from then on, and GivenUp says so. What can't be run is not a reason to serve nobody: an error is for the log, and this program goes on.
func (p *Programs) Launch() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var launched feed.Hash
	if text, ok := os.LookupEnv(envLaunched); ok {
		_ = launched.UnmarshalText([]byte(text)) // of somebody else: none
		if err := os.Unsetenv(envLaunched); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r, err := p.read()
	if err != nil {
		return err
	}
	selfHash, stored := p.hashOf(self)
	l := p.decide(r, selfHash, stored, launched)
	if l.write {
		if err := p.write(l.next); err != nil {
			return fmt.Errorf("this start can't be noted, so the program stays as it is: %w", err)
		}
	}
	if l.run == "" || l.run == self {
		return nil
	}
	env := append(without(os.Environ(), envLaunched), envLaunched+"="+l.hash.String())
	err = syscall.Exec(l.run, os.Args, env)
	err = fmt.Errorf("the program %s can't be run, so this one goes on: %w", l.run, err)
	if l.hash.IsZero() {
		return err
	}
	l.next.giveUp(err.Error())
	return errors.Join(err, p.write(l.next))
}

// decide says what a start of the program self is to do. launched is the program that the Launch before it has run, in this same process.
func (p *Programs) decide(r record, self feed.Hash, stored bool, launched feed.Hash) (l launch) {
	l.next = r
	if r.Current.IsZero() {
		if stored { // it was given up, and somebody has started it all the same
			l.run = r.Own
		}
		return l
	}
	if stored && self == r.Current && launched == self { // counted
		return l
	}
	if !r.Good {
		l.write = true
		if l.next.Starts++; l.next.Starts > startsMax {
			l.next.giveUp(fmt.Sprintf("the program %s died %d times before it proved good", r.Current, startsMax))
		}
	}
	if h := l.next.Current; !h.IsZero() {
		if err := verify(p.path(h), h); err != nil {
			l.write = true
			l.next.giveUp(fmt.Sprintf("the program %s can't be run: %s", h, err))
		}
	}
	switch h := l.next.Current; {
	case !h.IsZero() && launched == h: // it is what runs, or it couldn't be found twice
	case !h.IsZero():
		l.run, l.hash = p.path(h), h
	case stored:
		l.run = l.next.Own
	}
	return l
}
