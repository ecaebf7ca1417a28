package socket

import (
	"slices"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/ledger"
)

// Net is what a process's sockets find each other by.
type Net struct {
	kept   ledger.Mark
	ledger *ledger.Ledger
	paths  Paths
	now    names
	then   names
	outer  []*Conn // connections with the outside that it hasn't closed
	gate   gate
	spoke  bool // the guest has sent to the outside, or ended a connection with it
}

// names is what can change.
type names struct {
	bound     []*Socket
	left      []*Socket // the outside's ends of connections that are there for who attaches them
	ephemeral uint16    // the last port given to a socket that didn't say one
}

// Paths are the names of sockets in the tree of files, which tells them by inode number.
type Paths interface {
	MakeSocket(path string) (ino uint64, e abi.Errno)
	FindSocket(path string) (ino uint64, e abi.Errno)
}

// New makes a network with nobody in it.
func New(l *ledger.Ledger, p Paths) *Net {
	return &Net{ledger: l, paths: p, now: names{ephemeral: portFirst - 1}}
}

// Save keeps what can change.
func (t *Net) Save() { t.then.set(&t.now) }

// Back puts back what Save kept.
func (t *Net) Back() { t.now.set(&t.then) }

func (n *names) set(o *names) {
	n.bound, n.left, n.ephemeral = append(n.bound[:0], o.bound...), append(n.left[:0], o.left...), o.ephemeral
}

// Forget closes, after the ledger's Undo, the connections with the outside that were made since the checkpoint: the guest doesn't know them.
func (t *Net) Forget() {
	if len(t.outer) > 0 {
		t.gate.called = slices.DeleteFunc(t.gate.called, func(c *Conn) bool { return t.ledger.Since(c.born) })
		t.outer = slices.DeleteFunc(t.outer, func(c *Conn) bool {
			if t.ledger.Since(c.born) {
				c.t = nil
			}
			return c.t == nil
		})
	}
}
