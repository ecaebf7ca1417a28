package handover

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/wherry/wherry/feed"
)

// Programs are those that a node has on its disk:
//
//	DIR/programs/HASH/wherry   mode 0755
//	DIR/programs/state         a record: which one is to be run
//
// A missing state means the program that the machine came with. One process writes at a time: the old one until it says go, the new one then.
type Programs struct {
	dir string

	mu sync.Mutex // while files change
}

const (
	programName = "wherry"
	stateName   = "state"
	keptMax     = 3 // programs on disk, besides the current and the former one
	startsMax   = 2 // of a program that isn't good yet
	sizeMax     = 1 << 30
)

// record is the state, in JSON.
type record struct {
	Current feed.Hash   `json:"current,omitzero"` // zero: the machine's own
	Former  feed.Hash   `json:"former,omitzero"`  // for when Current isn't good; zero: the machine's own
	Own     string      `json:"own,omitempty"`    // path of the machine's own program
	Good    bool        `json:"good,omitempty"`   // Current has proved good
	Starts  int         `json:"starts,omitempty"` // of Current before it was good
	Given   feed.Hash   `json:"given,omitzero"`   // the last one that was given up
	Note    string      `json:"note,omitempty"`   // why
	Kept    []feed.Hash `json:"kept,omitempty"`   // newest first
}

// OpenPrograms opens a node's programs, and makes their directory. What a Put that was broken off has left is removed.
func OpenPrograms(stateDir string) (*Programs, error) {
	p := &Programs{dir: filepath.Join(stateDir, "programs")}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return nil, err
	}
	left, err := filepath.Glob(filepath.Join(p.dir, "new-*"))
	for _, path := range left {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return p, err
}

func (p *Programs) path(h feed.Hash) string { return filepath.Join(p.dir, h.String(), programName) }

func (p *Programs) read() (r record, err error) {
	data, err := os.ReadFile(filepath.Join(p.dir, stateName))
	if errors.Is(err, fs.ErrNotExist) {
		return record{}, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		return record{}, fmt.Errorf("the state of the node's programs can't be read (remove it to run the machine's own program): %w", err)
	}
	return r, nil
}

func (p *Programs) write(r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(p.dir, "new-state-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // there is none once it is renamed
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return p.rename(f.Name(), filepath.Join(p.dir, stateName))
}

func (p *Programs) rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d, err := os.Open(p.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// update changes the state.
func (p *Programs) update(change func(*record)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, err := p.read()
	if err != nil {
		return err
	}
	change(&r)
	return p.write(r)
}

// Put keeps a program, if it is what its hash says, and returns its path. Programs that are older than the last three go.
func (p *Programs) Put(h feed.Hash, r io.Reader) (path string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rec, err := p.read()
	if err != nil {
		return "", err
	}
	if verify(p.path(h), h) != nil {
		if err := p.save(h, r); err != nil {
			return "", fmt.Errorf("the program %s can't be kept: %w", h, err)
		}
	}
	rec.Kept = slices.Insert(slices.DeleteFunc(rec.Kept, func(k feed.Hash) bool { return k == h }), 0, h)
	rec.Kept = rec.Kept[:min(len(rec.Kept), keptMax)]
	if err := p.write(rec); err != nil {
		return "", err
	}
	return p.path(h), p.prune(&rec)
}

func (p *Programs) save(h feed.Hash, r io.Reader) error {
	dir, err := os.MkdirTemp(p.dir, "new-program-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, programName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(r, sizeMax+1))
	if err = errors.Join(err, f.Chmod(0o755), f.Sync(), f.Close()); err != nil {
		return err
	}
	switch {
	case n > sizeMax:
		return fmt.Errorf("it is larger than %d MiB", sizeMax>>20)
	case feed.Hash(sum.Sum(nil)) != h:
		return fmt.Errorf("what came is %s: damaged on the way, or another program", feed.Hash(sum.Sum(nil)))
	}
	if err := os.RemoveAll(filepath.Dir(p.path(h))); err != nil { // a damaged one
		return err
	}
	return p.rename(dir, filepath.Dir(p.path(h)))
}

// prune removes programs that nobody will want.
func (p *Programs) prune(r *record) error {
	entries, err := os.ReadDir(p.dir)
	for _, e := range entries {
		var h feed.Hash
		if !e.IsDir() || h.UnmarshalText([]byte(e.Name())) != nil || h == r.Current || h == r.Former || slices.Contains(r.Kept, h) {
			continue
		}
		err = errors.Join(err, os.RemoveAll(filepath.Join(p.dir, e.Name())))
	}
	return err
}

// verify says whether the file at path is the program.
func verify(path string, h feed.Hash) error {
	is, err := hashFile(path)
	if err == nil && is != h {
		err = fmt.Errorf("%s is damaged: it should be %s", path, h)
	}
	return err
}

func hashFile(path string) (h feed.Hash, err error) {
	f, err := os.Open(path)
	if err != nil {
		return h, err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return h, err
	}
	return feed.Hash(sum.Sum(nil)), nil
}

// Own returns the path of the program that the machine came with, if it is there.
func (p *Programs) Own() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, err := p.read()
	if err == nil && r.Own == "" {
		r.Own, err = os.Executable() // no other was ever tried
	}
	if err == nil {
		_, err = os.Stat(r.Own)
	}
	if err != nil {
		return "", fmt.Errorf("the program that this machine was installed with: %w; put one there, or upgrade to one with wherry upgrade --program", err)
	}
	return r.Own, nil
}

// RunsOwn says whether this process is the program that the machine came with.
func (p *Programs) RunsOwn() bool {
	self, err := os.Executable()
	if err != nil {
		return false
	}
	_, ours := p.hashOf(self)
	return !ours
}

// Verified returns the path of a program that is on disk and whole.
func (p *Programs) Verified(h feed.Hash) (path string, err error) {
	return p.path(h), verify(p.path(h), h)
}

// Try says that a program is to be run from now on; the zero hash is the machine's own. Until Good is said of it, the one before it is what is
// fallen back to.
func (p *Programs) Try(h feed.Hash) error {
	if !h.IsZero() {
		if _, err := p.Verified(h); err != nil {
			return err
		}
	}
	own, err := os.Executable()
	if err != nil {
		return err
	}
	return p.update(func(r *record) {
		if r.Current == h {
			return
		}
		if r.Current.IsZero() || r.Good { // what isn't good is nothing to fall back to
			r.Former = r.Current
		}
		if _, ours := p.hashOf(own); !ours {
			r.Own = own
		}
		r.Current, r.Good, r.Starts, r.Note, r.Given = h, h.IsZero(), 0, "", feed.Hash{}
	})
}

// Good says that a program has proved good, such as by having served for a while.
func (p *Programs) Good(h feed.Hash) error {
	return p.update(func(r *record) {
		if r.Current == h {
			r.Good, r.Starts = true, 0
		}
	})
}

// GiveUp says that a program that was tried isn't good, and why: the former one is to be run.
func (p *Programs) GiveUp(h feed.Hash, why string) error {
	return p.update(func(r *record) {
		if r.Current == h {
			r.giveUp(why)
		}
	})
}

func (r *record) giveUp(why string) {
	r.Given, r.Note = r.Current, why
	r.Current, r.Former, r.Good, r.Starts = r.Former, feed.Hash{}, true, 0
}

// GivenUp is the program that was given up last, and why; it is for the node's report. A new Try forgets it.
func (p *Programs) GivenUp() (h feed.Hash, why string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, err := p.read()
	return r.Given, r.Note, err
}

// Current is the program that is to be run, and whether it has proved good; zero: the machine's own.
func (p *Programs) Current() (h feed.Hash, good bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, err := p.read()
	return r.Current, r.Good, err
}

// hashOf says which of the programs a path is.
func (p *Programs) hashOf(path string) (h feed.Hash, ours bool) {
	if filepath.Base(path) != programName || h.UnmarshalText([]byte(filepath.Base(filepath.Dir(path)))) != nil {
		return feed.Hash{}, false
	}
	a, err := os.Stat(path)
	if err != nil {
		return feed.Hash{}, false
	}
	b, err := os.Stat(p.path(h))
	return h, err == nil && os.SameFile(a, b)
}
