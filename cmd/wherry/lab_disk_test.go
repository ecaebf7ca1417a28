//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk mounts a file system of its own, which a test can fill.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "disk")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("a disk of its own can't be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill leaves so many bytes free, and returns what frees the others.
func fill(t *testing.T, dir string, left int64) (empty func()) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block, size := make([]byte, 64<<10), int64(0)
	for len(block) > 0 {
		n, err := f.Write(block)
		size += int64(n)
		if errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(max(0, size-left)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}

// The disk below all that a network's nodes have is full, to the last byte or nearly: edges serve, also after a restart, changes are refused with a reason
// or hold, and when there is room again everything goes on without anybody's help.
func TestFullDisks(t *testing.T) {
	slow(t)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") }))
	defer origin.Close()
	dir := smallDisk(t, "800m")
	l := startLabIn(t, filepath.Join(dir, "lab"), "--control", "1", "--edges", "2", "--dns", "0")
	site := "name: shop\nhosts: [shop.test]\norigins: [{url: \"" + origin.URL + "\"}]\n"
	l.must("apply", "--emergency", "-f", l.write("shop.yaml", site))
	for i, left := range []int64{0, 4 << 10, 40 << 10, 400 << 10, 4 << 20} {
		empty := fill(t, dir, left)
		changed := l.write("shop.yaml", fmt.Sprintf("%sbody_size: %dMiB\n", site, i+1))
		time.Sleep(1100 * time.Millisecond) // the store looks at its disk once a second
		if text, err := l.run("apply", "--emergency", "-f", changed); err == nil || !strings.Contains(text, "full") {
			t.Errorf("an apply with %d bytes left: %v %s", left, err, text)
		}
		if text, err := l.run("purge", "--all"); err == nil || !strings.Contains(text, "full") {
			t.Errorf("a purge with %d bytes left: %v %s", left, err, text)
		}
		for _, edge := range []string{"edge-1", "edge-2"} {
			if status, body := l.get(edge, "/a"); status != http.StatusOK {
				t.Errorf("%s with %d bytes left: %d %s", edge, left, status, body)
			}
		}
		if text, err := l.run("lab", "restart", "edge-1"); err != nil {
			t.Errorf("an edge doesn't start with %d bytes left: %v %s", left, err, text)
		} else {
			l.untilServes("edge-1")
		}
		if text, err := l.run("lab", "restart", "control-1"); err != nil {
			t.Errorf("control doesn't start with %d bytes left: %v %s", left, err, text)
		}
		empty()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
			text, err := l.run("apply", "--emergency", "-f", changed)
			if err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("there is room again, and no apply: %v %s", err, text)
			}
		}
		l.until("all are well", func(nodes map[string]nodeState) bool {
			for _, n := range nodes {
				if !n.Live || len(n.Lags) > 0 {
					return false
				}
			}
			return len(nodes) == 3
		})
	}
}

// Where there is no room for a node it doesn't become half of one: it is told so, and can be made when there is.
func TestANodeIsMadeOnAFullDisk(t *testing.T) {
	t.Parallel()
	program, dir := buildProgram(t), smallDisk(t, "300m")
	l := &labRun{t: t, program: program, env: os.Environ()}
	at := filepath.Join(dir, "node")
	args := []string{"init", "--dir", at, "--name", "lisbon-1", "--roles", "control,edge", "--address", "192.0.2.1", "--mesh", "127.0.0.1:1"}
	for _, left := range []int64{0, 4 << 10, 16 << 10, 64 << 10, 1 << 20, 70 << 20} {
		empty := fill(t, dir, left)
		text, err := l.run(args...)
		if err == nil || !strings.Contains(text, "no space left") && !strings.Contains(text, "full") {
			t.Errorf("with %d bytes left: %v %s", left, err, text)
		}
		empty()
		if left < 1<<20 && !strings.Contains(text, "there is no room for a node") {
			t.Errorf("with %d bytes left: %s", left, text)
		}
		if _, err := os.Stat(filepath.Join(at, "node.json")); err == nil {
			t.Errorf("with %d bytes left it is a node", left)
		}
	}
	l.must(args...)
}

// A machine without room for a node isn't let in, and its token stays good.
func TestANodeJoinsOnAFullDisk(t *testing.T) {
	t.Parallel()
	l := startLab(t, "--control", "1", "--edges", "0", "--dns", "0")
	dir := smallDisk(t, "8m")
	join := strings.Fields(l.must("node", "token", "--roles", "relay"))
	args := []string{"join", "--token", join[len(join)-1], "--name", "oslo-1", "--roles", "relay", "--mesh", "127.0.0.1:1", "--dir", filepath.Join(dir, "node")}
	for _, left := range []int64{0, 4 << 10, 64 << 10, 900 << 10} {
		empty := fill(t, dir, left)
		if text, err := l.run(args...); err == nil || !strings.Contains(text, "there is no room for a node") {
			t.Errorf("with %d bytes left: %v %s", left, err, text)
		}
		empty()
	}
	l.must(args...)
	if text, err := l.run(args...); err == nil || !strings.Contains(text, "is a node's already") {
		t.Errorf("it joins twice: %v %s", err, text)
	}
	args[len(args)-1] = filepath.Join(dir, "other")
	if text, err := l.run(args...); err == nil || !strings.Contains(text, "used already") {
		t.Errorf("the same token again: %v %s", err, text)
	}
}
