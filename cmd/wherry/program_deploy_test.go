//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What can't be used is refused before anything is sent, with the reason.
func TestProgramsAreCheckedHere(t *testing.T) {
	t.Parallel()
	text := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	exits := buildAnswering(t, "if len(os.Args) < 99 { os.Exit(3) }", "")
	waits := buildAnswering(t, "", "hi")
	settings := "programs: {hello: {image: ./x, memory: 64MiB}}\n"
	for _, d := range []struct{ file, settings, want string }{
		{waits, settings, ""},
		{text, settings, "ELF"},
		{"/bin/ls", settings, "ld-linux"},
		{exits, settings, "status 3"},
		{waits, strings.Replace(settings, "64MiB", "64 cats", 1), "memory"},
		{waits, strings.Replace(settings, "64MiB}", "64MiB, isolation: never}", 1), "isolation"},
	} {
		err := checkProgram(t.Context(), "hello", d.file, "", d.settings)
		if (err == nil) != (d.want == "") || err != nil && !strings.Contains(err.Error(), d.want) {
			t.Errorf("%s: %v, want %q", d.file, err, d.want)
		}
	}
}
