package feed

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// ObjectMax is the largest object where options don't say otherwise: a program fits.
const ObjectMax = 256 << 20

func (k *Keeper) objectPath(h Hash) string {
	name := h.String()
	return k.path(objectsDir, name[:2], name)
}

// Object returns an object, or fs.ErrNotExist. One that isn't what its name says is removed, and isn't there.
func (k *Keeper) Object(h Hash) ([]byte, error) {
	data, err := readBounded(k.objectPath(h), k.o.ObjectMax)
	if err != nil && !errors.Is(err, errTooLong) {
		return nil, err
	}
	if err != nil || HashOf(data) != h {
		return nil, k.rotten(h)
	}
	return data, nil
}

// ObjectFile opens an object for who reads large ones; or the error is fs.ErrNotExist. It has been verified, as by Object. Whoever asks
// closes it.
func (k *Keeper) ObjectFile(h Hash) (*os.File, error) {
	f, err := os.Open(k.objectPath(h))
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err == nil && Hash(sum.Sum(nil)) != h {
		err = k.rotten(h)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (k *Keeper) rotten(h Hash) error {
	k.o.Log.Warn("an object on this disk isn't what it was; it is removed and asked for again", "object", h)
	if err := k.o.disk.Remove(k.objectPath(h)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		k.o.Log.Warn("it couldn't be removed", "object", h, "error", err)
	}
	return fmt.Errorf("object %s: what was here had rotted: %w", h, fs.ErrNotExist)
}

// HasObject says whether there is a file for an object, without reading it.
func (k *Keeper) HasObject(h Hash) bool {
	_, err := os.Stat(k.objectPath(h))
	return err == nil
}

// ObjectPath returns the file of an object. It isn't verified; ObjectFile does that.
func (k *Keeper) ObjectPath(h Hash) (string, error) {
	path := k.objectPath(h)
	_, err := os.Stat(path)
	return path, err
}

// PutObject keeps an object, if it is what its name says; else the error is ErrForged.
func (k *Keeper) PutObject(h Hash, data []byte) error {
	switch {
	case int64(len(data)) > k.o.ObjectMax:
		return k.tooLarge()
	case HashOf(data) != h:
		return anotherHash(h)
	}
	if info, err := os.Stat(k.objectPath(h)); err == nil && info.Size() == int64(len(data)) {
		return nil
	}
	dir, err := k.objectDir(h)
	if err == nil {
		err = k.writeFile(filepath.Join(dir, h.String()), data)
	}
	if err != nil {
		return fmt.Errorf("keep object %s: %w", h, err)
	}
	return nil
}

func (k *Keeper) tooLarge() error {
	return fmt.Errorf("an object has more than %d bytes: make it smaller", k.o.ObjectMax)
}

func anotherHash(h Hash) error {
	return fmt.Errorf("object %s: what was given has another hash: %w", h, ErrForged)
}

// objectDir makes the directory for an object.
func (k *Keeper) objectDir(h Hash) (string, error) {
	dir := filepath.Dir(k.objectPath(h))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := k.o.disk.MkdirAll(dir); err != nil {
		return dir, err
	}
	return dir, k.o.disk.SyncDir(filepath.Dir(dir))
}

// PutObjectFrom keeps what r has, and returns its name and size; it has a buffer of it in memory alone. Give want the zero hash to take
// anything; else what has another hash is ErrForged, and isn't kept.
func (k *Keeper) PutObjectFrom(want Hash, r io.Reader) (h Hash, size int64, err error) {
	temp := k.tempName()
	f, err := k.o.disk.Create(temp)
	if err != nil {
		return h, 0, fmt.Errorf("keep an object: %w", err)
	}
	sum := sha256.New()
	size, err = io.Copy(io.MultiWriter(f, sum), io.LimitReader(r, k.o.ObjectMax+1))
	h = Hash(sum.Sum(nil))
	switch {
	case err != nil:
	case size > k.o.ObjectMax:
		err = k.tooLarge()
	case !want.IsZero() && h != want:
		err = anotherHash(want)
	default:
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		var dir string
		if dir, err = k.objectDir(h); err == nil {
			err = k.o.disk.Rename(temp, filepath.Join(dir, h.String()))
		}
		if err == nil {
			return h, size, k.o.disk.SyncDir(dir)
		}
	}
	_ = k.o.disk.Remove(temp) // else the next process does
	return Hash{}, 0, fmt.Errorf("keep an object: %w", err)
}

// DropObject removes an object, if it is there.
func (k *Keeper) DropObject(h Hash) error {
	if err := k.o.disk.Remove(k.objectPath(h)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("drop object %s: %w", h, err)
	}
	return nil
}

// Collect removes the objects that keep doesn't want, and returns how many. What can't be removed is in the error; the others are gone.
func (k *Keeper) Collect(keep func(Hash) bool) (removed int, err error) {
	before := k.o.Now().Add(-k.o.CollectAfter)
	var errs []error
	err = filepath.WalkDir(k.path(objectsDir), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		var h Hash
		if h.UnmarshalText([]byte(d.Name())) != nil || keep(h) || k.o.CollectAfter > 0 && young(d, before) {
			return nil
		}
		if err := k.o.disk.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
			return nil
		}
		removed++
		return nil
	})
	return removed, errors.Join(append(errs, err)...)
}

func young(d fs.DirEntry, before time.Time) bool {
	info, err := d.Info()
	return err == nil && info.ModTime().After(before)
}

func (k *Keeper) tempName() string {
	return k.path(tempDir, strconv.FormatUint(k.temps.Add(1), 36))
}

// writeFile makes or replaces a file; at any time, also after a crash, it is whole. After an error it is the old one or, if its directory
// couldn't be synced, the new one.
func (k *Keeper) writeFile(path string, data []byte) (err error) {
	temp := k.tempName()
	f, err := k.o.disk.Create(temp)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = k.o.disk.Rename(temp, path)
	}
	if err != nil {
		_ = k.o.disk.Remove(temp) // else the next process does
		return err
	}
	return k.o.disk.SyncDir(filepath.Dir(path))
}

var errTooLong = errors.New("the file is longer than it may be")

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s: %w", path, errTooLong)
	}
	data := make([]byte, info.Size())
	_, err = io.ReadFull(f, data)
	return data, err
}
