//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// guests are the programs that scripts can have: where the source is, and how it is built into the file that stands last.
var guests = map[string][]string{
	"cart":    {"go", "build", "-o"},
	"counter": {"go", "build", "-o"},
	"pages":   {"go", "build", "-o"},
	"signed":  {"gcc", "-O2", "-static", "-o"},
	"table":   {"rustc", "-O", "-C", "target-feature=+crt-static", "-o"},
	"web":     {"go", "build", "-o"},
	"web2":    {"go", "build", "-ldflags=-X main.version=2", "-o"},
}

var guestSources = map[string]string{
	"cart":    "../../examples/programs/cart",
	"counter": "../../vmm/snap/testdata/counter",
	"pages":   "./testdata/guest/pages",
	"signed":  "../../examples/programs/signed/signed.c",
	"table":   "../../examples/programs/table/table.rs",
	"web":     "../../compute/testdata/guest",
	"web2":    "../../compute/testdata/guest",
}

// cmdGuest builds a program of ours, statically, and lays a request for it beside it where there is one. Its file is on PATH, too.
func cmdGuest(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1 && guests[args[0]] != nil, "guest NAME")
	name := args[0]
	out, source := ts.MkAbs(name), guestSources[name]
	build := append(guests[name][1:len(guests[name]):len(guests[name])], out, source)
	cmd := exec.Command(guests[name][0], build...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if text, err := cmd.CombinedOutput(); err != nil {
		ts.Fatalf("building %s: %v\n%s", name, err, text)
	}
	ts.Setenv("PATH", filepath.Dir(out)+string(os.PathListSeparator)+ts.Getenv("PATH"))
	request, err := os.ReadFile(filepath.Join("../../examples/programs", name, "request.http"))
	if err == nil {
		err = os.WriteFile(out+".http", request, 0o600)
	}
	if err != nil && !os.IsNotExist(err) {
		ts.Fatalf("%v", err)
	}
}

// cmdDamage changes a bit in the middle of a file.
func cmdDamage(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 1, "damage FILE")
	name := ts.MkAbs(args[0])
	contents, err := os.ReadFile(name)
	ts.Check(err)
	contents[len(contents)/2] ^= 1
	ts.Check(os.WriteFile(name, contents, 0o600))
}
