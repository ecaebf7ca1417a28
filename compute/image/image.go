package image

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/wherry/wherry/certs"
)

// SizeMax is how many bytes an image may have.
const SizeMax = 256 << 20

// Dir is the name of the folder in a node's state.
const Dir = "programs"

// ErrMissing says that a Store hasn't got an image.
var ErrMissing = errors.New("this node hasn't got the image")

// Store is a folder of images.
type Store struct{ dir string }

// Open returns the Store in the folder dir, which the first Put makes.
func Open(dir string) *Store { return &Store{dir} }

// Sum is the hash of an image.
func Sum(image []byte) string {
	sum := sha256.Sum256(image)
	return hex.EncodeToString(sum[:])
}

// IsHash says whether s is the name of an image: 64 lower-case hexadecimal digits.
func IsHash(s string) bool {
	return len(s) == 2*sha256.Size && strings.Trim(s, "0123456789abcdef") == ""
}

// Has says whether there is an image of that name; only Get looks whether it's whole.
func (s *Store) Has(hash string) bool {
	if !IsHash(hash) {
		return false
	}
	info, err := os.Stat(s.path(hash))
	return err == nil && info.Mode().IsRegular()
}

// Get returns the image of that hash.
func (s *Store) Get(hash string) ([]byte, error) {
	if !IsHash(hash) {
		return nil, fmt.Errorf("%.80q is no image's hash; write 64 hexadecimal digits", hash)
	}
	data, err := Read(s.path(hash))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w sha256:%s; put it there first", ErrMissing, hash)
	case err != nil:
		return nil, err
	case Sum(data) != hash:
		return nil, fmt.Errorf("%s isn't what its name says, but sha256:%s; remove it, and put the image there again", s.path(hash), Sum(data))
	}
	return data, nil
}

// Put keeps an image, and returns its hash.
func (s *Store) Put(image []byte) (hash string, err error) {
	if len(image) > SizeMax {
		return "", tooLarge("the image")
	}
	hash = Sum(image)
	if kept, err := s.Get(hash); err == nil && len(kept) == len(image) {
		return hash, nil
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return "", fmt.Errorf("keep an image: %w", err)
	}
	if err := certs.WriteSecret(s.path(hash), image); err != nil {
		return "", fmt.Errorf("keep an image: %w", err)
	}
	return hash, nil
}

func (s *Store) path(hash string) string { return filepath.Join(s.dir, hash) }

// Read returns an image that is in a file.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() { // a pipe would have us wait
		return nil, fmt.Errorf("%s is no file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, SizeMax+1))
	if err == nil && len(data) > SizeMax {
		err = tooLarge(path)
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

func tooLarge(what string) error {
	return fmt.Errorf("%s has more than %d MiB; strip it (go build -ldflags=-s)", what, SizeMax>>20)
}
