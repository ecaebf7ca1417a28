package main

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// TestWithDeadlines: a pipe that nobody reads holds a write up only until its deadline, and the inherited end stays as it was.
func TestWithDeadlines(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	out, ok := withDeadlines(w).(*os.File)
	if !ok || out == w {
		t.Skip("no /proc to open a pipe again")
	}
	defer out.Close()
	if err := out.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Write([]byte(strings.Repeat("x", 1<<20))); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v, want the deadline's", err)
	}
	file, err := os.Create(t.TempDir() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if withDeadlines(file) != file {
		t.Error("a file was opened again: it would be written from its start")
	}
}

// TestOpenSecret: one that is made is kept, and one that others could have read, or that is none, isn't used.
func TestOpenSecret(t *testing.T) {
	path := t.TempDir() + "/operator.token"
	made, err := openSecret(path, "operator's token")
	if err != nil || len(made) < 32 {
		t.Fatalf("token %q, %v", made, err)
	}
	if again, err := openSecret(path, "operator's token"); again != made || err != nil {
		t.Errorf("the second time %q, %v; want %q", again, err, made)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openSecret(path, "operator's token"); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by others: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openSecret(path, "operator's token"); err == nil || !strings.Contains(err.Error(), "remove the file") {
		t.Errorf("empty: %v", err)
	}
}
