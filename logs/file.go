package logs

import (
	"fmt"
	"io"
	"os"
	"sync"
)

// File is a log file that can be moved away while it is written.
type File struct {
	path string

	mu   sync.Mutex // protects file; held while writing, so that no line is split between two files
	file *os.File
}

var _ io.WriteCloser = (*File)(nil)

// fileMode lets the owner write and its group read: log lines name clients.
const fileMode = 0o640

// OpenFile opens the file at path for appending and creates it if it isn't there.
func OpenFile(path string) (*File, error) {
	f := &File{path: path}
	if err := f.Reopen(); err != nil {
		return nil, err
	}
	return f, nil
}

// Reopen opens the path again and closes what was open, for logrotate's "create" and the like. If the path can't be opened, the
// old file stays in use.
func (f *File) Reopen() error {
	file, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, fileMode)
	if err != nil {
		return fmt.Errorf("open log file: %w", err)
	}
	f.mu.Lock()
	old := f.file
	f.file = file
	f.mu.Unlock()
	if old == nil {
		return nil
	}
	if err := old.Close(); err != nil {
		return fmt.Errorf("close old log file: %w", err)
	}
	return nil
}

// Write appends p.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Write(p)
}

// Close closes the file; Write fails from then on.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Close()
}
