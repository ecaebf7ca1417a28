package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// built is where the programs are.
type built struct {
	wherry, cart, cartWasm, signed, cpuC, cpuGo string
	cartRequest, signedRequest                  string
}

// build makes all programs in dir.
func build(dir string) (built, error) {
	examples, ours := filepath.Join(root, "examples", "programs"), "testdata"
	b := built{cartRequest: filepath.Join(examples, "cart", "request.http"), signedRequest: filepath.Join(examples, "signed", "request.http")}
	static := []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64"}
	for _, p := range []struct {
		out *string
		at  string
		env []string
		cmd []string
	}{
		{&b.wherry, "wherry", []string{"CGO_ENABLED=0"}, []string{"go", "build", "-trimpath", "-o", "", "./cmd/wherry"}},
		{&b.cart, "cart", static, []string{"go", "build", "-o", "", "./examples/programs/cart"}},
		{&b.cartWasm, "cart.wasm", []string{"GOOS=wasip1", "GOARCH=wasm"}, []string{"go", "build", "-o", "", "./examples/programs/cart"}},
		{&b.cpuGo, "cpugo", static, []string{"go", "-C", "bench/programs", "build", "-o", "", "./testdata/json"}},
		{&b.signed, "signed", nil, []string{"gcc", "-O2", "-static", "-o", "", "examples/programs/signed/signed.c"}},
		{&b.cpuC, "cpuc", nil, []string{"gcc", "-O2", "-static", "-o", "", filepath.Join("bench", "programs", ours, "cpu", "cpu.c")}},
	} {
		*p.out = filepath.Join(dir, p.at)
		for i, word := range p.cmd {
			if word == "" {
				p.cmd[i] = *p.out
			}
		}
		cmd := exec.Command(p.cmd[0], p.cmd[1:]...)
		cmd.Dir, cmd.Env = root, append(os.Environ(), p.env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return b, fmt.Errorf("building %s: %w\n%s", p.at, err, bytes.TrimSpace(out))
		}
	}
	return b, nil
}
