package feed

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

const (
	objectsDir = "objects"
	keptDir    = "kept"
)

// ObjectMax is the largest object: a program fits.
const ObjectMax = 256 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(signature, content []byte) uint32 {
	return crc32.Update(crc32.Checksum(signature, castagnoli), castagnoli, content)
}

func (k *Keeper) objectPath(h Hash) string {
	name := h.String()
	return filepath.Join(k.dir, objectsDir, name[:2], name)
}

// Object returns an object, or fs.ErrNotExist. One that isn't what its name says is removed, and isn't there.
func (k *Keeper) Object(h Hash) ([]byte, error) {
	data, err := os.ReadFile(k.objectPath(h))
	if err != nil {
		return nil, err
	}
	if HashOf(data) != h {
		_ = os.Remove(k.objectPath(h))
		k.log.Warn("an object on this disk isn't what it was; it is asked for again", "object", h)
		return nil, fmt.Errorf("object %s: %w", h, fs.ErrNotExist)
	}
	return data, nil
}

// HasObject says whether there is a file for an object, without reading it.
func (k *Keeper) HasObject(h Hash) bool {
	_, err := os.Stat(k.objectPath(h))
	return err == nil
}

// ObjectPath returns the file of an object, for who reads large ones. It isn't verified.
func (k *Keeper) ObjectPath(h Hash) (string, error) {
	path := k.objectPath(h)
	_, err := os.Stat(path)
	return path, err
}

// PutObject keeps an object, if it is what its name says.
func (k *Keeper) PutObject(h Hash, data []byte) error {
	if HashOf(data) != h {
		return fmt.Errorf("object %s: %w: what was given has another hash", h, ErrForged)
	}
	path := k.objectPath(h)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return writeFile(path, data)
}

// PutObjectFrom keeps what r has, at most ObjectMax bytes, and returns its name and size. Give want the zero hash to take anything.
func (k *Keeper) PutObjectFrom(want Hash, r io.Reader) (h Hash, size int64, err error) {
	if err := os.MkdirAll(filepath.Join(k.dir, objectsDir), 0o700); err != nil {
		return h, 0, err
	}
	f, err := os.CreateTemp(filepath.Join(k.dir, objectsDir), "*.tmp")
	if err != nil {
		return h, 0, err
	}
	defer os.Remove(f.Name()) // gone already where it was renamed
	sum := sha256.New()
	size, err = io.Copy(io.MultiWriter(f, sum), io.LimitReader(r, ObjectMax+1))
	err = errors.Join(err, f.Sync(), f.Close())
	copy(h[:], sum.Sum(nil))
	switch {
	case err != nil:
		return h, 0, err
	case size > ObjectMax:
		return h, 0, fmt.Errorf("an object has more than %d bytes", ObjectMax)
	case !want.IsZero() && h != want:
		return h, 0, fmt.Errorf("object %s: %w: what was given has another hash", want, ErrForged)
	}
	path := k.objectPath(h)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return h, 0, err
	}
	return h, size, os.Rename(f.Name(), path)
}

// Collect removes the objects that keep doesn't want, and returns how many.
func (k *Keeper) Collect(keep func(Hash) bool) (removed int, err error) {
	root := filepath.Join(k.dir, objectsDir)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		var h Hash
		if h.UnmarshalText([]byte(d.Name())) != nil || keep(h) {
			return nil
		}
		removed++
		return os.Remove(path)
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return removed, err
}

var keptName = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// Remember keeps data under a name for the next process.
func (k *Keeper) Remember(name string, data []byte) error {
	if !keptName.MatchString(name) {
		panic("BUG: a name to remember by: " + name)
	}
	return writeFile(filepath.Join(k.dir, keptDir, name), data)
}

// Recall returns what was remembered; nil if nothing was.
func (k *Keeper) Recall(name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(k.dir, keptDir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// writeFile makes or replaces a file; at any time, also after a crash, it is whole.
func writeFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already where it was renamed
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
