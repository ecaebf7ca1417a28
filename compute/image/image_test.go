package image

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What was put is got by its hash, by nobody else, and only as long as it's whole.
func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), Dir)
	s := Open(dir)
	hash, err := s.Put([]byte("a program"))
	if err != nil || hash != Sum([]byte("a program")) || !s.Has(hash) {
		t.Fatalf("put: %q, %v, has %v", hash, err, s.Has(hash))
	}
	if got, err := s.Get(hash); err != nil || string(got) != "a program" {
		t.Errorf("got %q, %v", got, err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("the folder has %v, %v; want one file", files, err)
	}
	if info, err := files[0].Info(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v; want it to be the owner's alone", info, err)
	}
	if err := os.WriteFile(filepath.Join(dir, hash), []byte("half a pro"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(hash); err == nil || !strings.Contains(err.Error(), "isn't what its name says") {
		t.Errorf("a damaged image: %v", err)
	}
	if _, err := s.Put([]byte("a program")); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(hash); err != nil {
		t.Errorf("putting a damaged image again doesn't mend it: %v", err)
	}
}

func TestMissing(t *testing.T) {
	s := Open(t.TempDir())
	if _, err := s.Get(Sum(nil)); !errors.Is(err, ErrMissing) {
		t.Errorf("%v, want ErrMissing", err)
	}
	for _, hash := range []string{"", "../operator.token", strings.Repeat("A", 64), strings.Repeat("a", 63) + "/"} {
		if _, err := s.Get(hash); err == nil || s.Has(hash) {
			t.Errorf("%q is taken for a hash", hash)
		}
	}
}
