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
