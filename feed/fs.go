package feed

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// disk is what a keeper changes files with; a test puts one in its place that fails. Reading goes to the operating system.
type disk interface {
	MkdirAll(dir string) error
	Create(name string) (file, error) // empties it if there is one
	Open(name string) (file, error)   // makes it if there is none
	Rename(from, to string) error
	Remove(name string) error
	SyncDir(dir string) error
	Lock(name string) (io.Closer, error) // fails at once if somebody else has it
}

// file is one that is written.
type file interface {
	io.Writer
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// osDisk is the operating system's.
type osDisk struct{}

var _ disk = osDisk{}

func (osDisk) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o700) }

func (osDisk) Create(name string) (file, error) {
	return opened(os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600))
}

func (osDisk) Open(name string) (file, error) {
	return opened(os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600))
}

func opened(f *os.File, err error) (file, error) {
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osDisk) Rename(from, to string) error { return os.Rename(from, to) }

func (osDisk) Remove(name string) error { return os.Remove(name) }

func (osDisk) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (osDisk) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.New("another process has it; is the node running already? Stop that one, or give this one a directory of its own")
		}
		return nil, fmt.Errorf("lock: %w", err)
	}
	return f, nil
}
