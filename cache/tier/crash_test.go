package tier

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/cache/storetest"
)

// crashDirectory names the directory of a child, in its environment. The version that it begins with stands behind a space.
const crashDirectory = "WHERRY_TIER_CRASH_DIR"

const (
	crashRounds = 6
	crashKeys   = 30
	crashLife   = 400 * time.Millisecond // at most; then it is killed
)

// crashChild works until it is killed. It writes a line when a removal begins and when it has returned: "r KEY VERSION" and "R KEY VERSION",
// with the version of what was inserted last; * stands for all keys. Versions are counted on over all children.
func crashChild(arg string) {
	dir, from, _ := strings.Cut(arg, " ")
	version, _ := strconv.Atoi(from)
	t := &testing.T{} // only for its Fatal; nothing else is asked of it
	w, err := newWorld(options{dir: dir, bytesMax: 4 << 20, objectMax: 4 << 20, diskMax: testDisk})
	if err != nil {
		panic(err)
	}
	go func() { panic(w.Run(context.Background())) }()
	random := rand.New(rand.NewPCG(uint64(version), 1))
	say := func(format string, args ...any) { fmt.Fprintf(os.Stdout, format+"\n", args...) }
	for {
		key := key(random.IntN(crashKeys))
		switch random.IntN(16) {
		case 0:
			say("r %s %d", key, version)
			w.Remove(key)
			say("R %s %d", key, version)
		case 1:
			if random.IntN(10) == 0 {
				say("r * %d", version)
				w.RemoveFunc(anyKey)
				say("R * %d", version)
			}
		case 2:
			w.forget()
		case 3, 4, 5:
			version++
			say("i %s %d", key, version)
			storetest.Insert(t, w, key, []string{"", "a"}[random.IntN(2)], version, []int{0, 1000, 50_000, 400_000}[random.IntN(4)])
		case 6:
			for _, r := range w.Lookup(key) {
				w.Replace(r, storetest.Renewed(t, r, version))
			}
		default:
			for _, r := range w.Lookup(key) {
				if f := storetest.Read(key, r); f.Wrong != "" || f.Unreadable != nil {
					say("wrong %s: %s %v", key, f.Wrong, f.Unreadable)
				}
			}
		}
	}
}

// TestKill kills processes in the middle of their work and looks at what they leave: only whole responses, and nothing of what was
// removed.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 2))
	removed := map[store.Key]int{} // versions up to this one
	version, survived := 0, 0
	for range crashRounds {
		version = runChild(t, dir, version, time.Duration(random.Int64N(int64(crashLife))), removed)
		w := open(t, options{dir: dir})
		for i := range crashKeys {
			for _, r := range w.Lookup(key(i)) {
				f := storetest.Read(key(i), r)
				switch {
				case f.Wrong != "" || f.Unreadable != nil:
					t.Errorf("%s: %s %v", key(i), f.Wrong, f.Unreadable)
				case f.BodyVersion <= removed[key(i)]:
					t.Errorf("%s: version %d is there, all up to %d were removed", key(i), f.BodyVersion, removed[key(i)])
				case f.BodyVersion > version || f.Version > version:
					t.Errorf("%s: version %d of %d is there", key(i), f.BodyVersion, version)
				}
				survived++
			}
		}
		w.stop()
	}
	if survived == 0 {
		t.Error("nothing has survived")
	}
	t.Logf("%d versions, %d found again", version, survived)
}

// runChild runs a child on dir for so long, kills it and notes what it has removed. It returns the version that it came to.
func runChild(t *testing.T, dir string, version int, life time.Duration, removed map[store.Key]int) int {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashDirectory+"="+dir+" "+strconv.Itoa(version))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(time.Minute, func() { _ = child.Process.Kill() }) // if it never begins
	begun := false
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if !begun {
			kill.Reset(life)
			begun = true
		}
		var what string
		if _, err := fmt.Sscan(lines.Text(), &what); err != nil || what == "wrong" {
			t.Errorf("the child says %q", lines.Text())
			continue
		}
		rest := strings.TrimPrefix(lines.Text(), what+" ")
		at := strings.LastIndexByte(rest, ' ')
		if at < 0 {
			continue // killed in the middle of a line
		}
		n, _ := strconv.Atoi(rest[at+1:])
		version = max(version, n)
		if what == "R" {
			for i := range crashKeys {
				if k := key(i); rest[:at] == "*" || rest[:at] == string(k) {
					removed[k] = max(removed[k], n)
				}
			}
		}
	}
	_ = child.Wait() // it was killed
	kill.Stop()
	return version
}
