package file

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/wherry/wherry/vmm/linux/ledger"
	"github.com/wherry/wherry/vmm/linux/socket"
	"github.com/wherry/wherry/vmm/linux/tree"
)

// State is a checkpoint: immutable, good for any Table of the same Image and limits that suffice.
type State struct {
	digest [sha256.Size]byte // of the Image
	meta   []byte            // all but the bytes of memory files
	pages  []*tree.Page      // never written again: who changes one makes a copy
}

// Checkpoint keeps everything: descriptors, their offsets, memory files, queues, timers.
func (t *Table) Checkpoint() *State {
	s := &State{digest: t.o.Image.Digest()}
	for i := range t.slots.fds {
		if f := t.slots.fds[i].file; f != nil {
			if p, ok := f.object.(*epoll); ok {
				t.sweep(p)
			}
		}
	}
	g := t.collect()
	c := ledger.NewWriter()
	g.code(c, &t.ledger.Limits)
	s.meta, s.pages = c.Bytes(), g.nodes.Pages
	t.follow(s)
	return s
}

// follow makes s the checkpoint that the log leads back to.
func (t *Table) follow(s *State) {
	t.base = s
	t.ledger.Checkpoint()
	t.tree.Save()
}

// Restore puts everything back to s. Connections with the outside that were made since are closed. After an error, which only a State from outside or of another Image can
// cause, the Table is as before. What time it is, and the random source, are the caller's.
func (t *Table) Restore(s *State) error {
	if s != t.base {
		return t.rebuild(s)
	}
	t.ledger.Undo()
	t.tree.Back()
	t.net.Forget()
	t.woken()
	return nil
}

// woken is for what's true after every Restore.
func (t *Table) woken() {
	t.ledger.Version++
	t.starved, t.timerAt = false, 0
}

// rebuild makes everything anew from a State's bytes.
func (t *Table) rebuild(s *State) error {
	if s.digest != t.o.Image.Digest() {
		return errors.New("file: the state is of another image; start it with the files and the program that it was made with")
	}
	g := &graph{nodes: t.tree.ReadGraph(s.pages), sockets: &socket.Graph{}}
	c := ledger.NewReader(s.meta)
	g.code(c, &t.ledger.Limits)
	if err := c.End(); err != nil {
		return err
	}
	if err := g.check(t); err != nil {
		return err
	}
	t.slots = slots{fds: g.fds, timers: g.timers}
	t.ledger.Now = g.counts
	t.tree.Take(g.nodes)
	t.net.Take(g.sockets)
	t.follow(s)
	t.woken()
	return nil
}

// A snapshot file's form: magic, the image's digest, the length of the rest but the pages, that rest, and the pages.
const stateMagic = "wherry files 2\n"

// MarshalBinary makes bytes of it for a snapshot file.
func (s *State) MarshalBinary() ([]byte, error) {
	b := append([]byte(stateMagic), s.digest[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(s.meta)))
	b = append(slices.Grow(b, len(s.meta)+len(s.pages)*pageSize), s.meta...)
	for _, p := range s.pages {
		b = append(b, p.Bytes()...)
	}
	return b, nil
}

// UnmarshalBinary reads bytes of MarshalBinary, which may be anybody's. What they say is checked by Restore, against the Image and limits.
func (s *State) UnmarshalBinary(b []byte) error {
	const head = len(stateMagic) + sha256.Size + 8
	if len(b) < head || string(b[:len(stateMagic)]) != stateMagic {
		return errors.New("file: not the state of a process's files; make the snapshot anew")
	}
	n := binary.LittleEndian.Uint64(b[head-8:])
	if n > uint64(len(b)-head) || (uint64(len(b)-head)-n)%pageSize != 0 {
		return fmt.Errorf("file: a state of %d bytes can't have %d before its pages; make the snapshot anew", len(b), n)
	}
	*s = State{digest: [sha256.Size]byte(b[len(stateMagic):]), meta: slices.Clone(b[head:][:n])}
	for b = b[head+int(n):]; len(b) > 0; b = b[pageSize:] {
		s.pages = append(s.pages, tree.NewPage([pageSize]byte(b)))
	}
	return nil
}
