package disk

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	crashKills = 12 // of each kind
	crashKeys  = 40
)

// crashOptions are of a store that evicts all the time, or never.
func crashOptions(dir string) Options {
	o := small(nil, dir+"/a", dir+"/b")
	o.SyncInterval = 100 * time.Millisecond
	if strings.HasSuffix(dir, "roomy") {
		for i := range o.Volumes {
			o.Volumes[i].BytesMax = 1 << 30
		}
	}
	return o
}

// crashChild puts and removes at random until it is killed, and says on stdout what is done.
func crashChild(dir string) {
	s, err := Open(crashOptions(dir))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	go func() { _ = s.Run(context.Background()) }()
	for n := uint64(time.Now().UnixNano()); ; n++ {
		key := fmt.Sprint("k", rand.IntN(crashKeys))
		line := ""
		switch rand.IntN(8) {
		case 0, 1:
			_, err := s.Remove(key)
			line = fmt.Sprintln("removed", key, n, err == nil)
		case 2:
			_, _ = s.Get(key)
			continue
		default:
			done := make(chan error, 1)
			if !s.Put(draft(key, "", n, rand.IntN(12000)), func(_ *Blob, err error) { done <- err }) {
				continue
			}
			line = fmt.Sprintln("put", key, n, <-done == nil)
		}
		_, _ = os.Stdout.WriteString(line)
	}
}

// TestKill kills processes that put and remove, and sees that what they said to be done is done, and nothing else is there.
func TestKill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	for _, kind := range []string{"tight", "roomy"} {
		t.Run(kind, func(t *testing.T) { killAtRandom(t, filepath.Join(t.TempDir(), kind)) })
	}
}

func killAtRandom(t *testing.T, dir string) {
	last := map[string]uint64{} // the number of the last put, 0 if it was removed
	for kill := range crashKills {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "WHERRY_DISK_CRASH_DIR="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// It is killed in the middle of something, after a number of operations that has nothing to do with it.
		after := 50 + rand.IntN(400)
		operations := 0
		for in := bufio.NewScanner(out); in.Scan(); {
			var what, key string
			var n uint64
			var ok bool
			if _, err := fmt.Sscan(in.Text(), &what, &key, &n, &ok); err != nil || !ok {
				t.Fatalf("the child said %q", in.Text())
			}
			if last[key] = n; what == "removed" {
				last[key] = 0
			}
			if operations++; operations == after {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait()
		checkCrashed(t, kill, dir, last)
	}
}

func checkCrashed(t *testing.T, kill int, dir string, last map[string]uint64) {
	t.Helper()
	s := run(t, crashOptions(dir))
	defer s.end()
	kept, lost := 0, 0
	for i := range crashKeys {
		key := fmt.Sprint("k", i)
		got, want := s.seeds(key), last[key]
		seed, there := got[""]
		switch {
		case there && seed == want && want != 0:
			kept++
		case there && seed > want:
			// Written, and killed before it could say so.
			last[key] = seed
		case there:
			t.Fatalf("kill %d: %s came back as %d, the last was %d", kill, key, seed, want)
		case want != 0:
			// Evicted, or removed without having said so.
			lost++
			last[key] = 0
		}
	}
	if strings.HasSuffix(dir, "roomy") && lost > 1 || kept == 0 {
		t.Fatalf("kill %d: %d blobs are lost, %d are there: %+v", kill, lost, kept, s.Usage())
	}
}
