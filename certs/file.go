package certs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// writeNew makes a file that is either whole or not there, also after a crash. If it exists, it's left alone and the error is
// fs.ErrExist.
func writeNew(file string, content []byte, mode fs.FileMode) error {
	return write(file, content, mode, os.Link)
}

// WriteSecret makes or replaces a file that only its owner can read; at any time, also after a crash, it's whole.
func WriteSecret(file string, content []byte) error { return replace(file, content, 0o600) }

// replace makes or replaces a file; at any time, also after a crash, it's whole.
func replace(file string, content []byte, mode fs.FileMode) error {
	return write(file, content, mode, os.Rename)
}

// write puts content into a temporary file beside file, and into its place with move.
func write(file string, content []byte, mode fs.FileMode, move func(from, to string) error) (err error) {
	dir := filepath.Dir(file)
	temporary, err := os.CreateTemp(dir, filepath.Base(file)+".*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer func() {
		_ = os.Remove(temporary.Name()) // gone already where move renamed it
	}()
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Chmod(mode), temporary.Sync(), temporary.Close())
	if err == nil {
		err = move(temporary.Name(), file)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// syncDir makes a change of names last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
