package handover

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/wherry/wherry/feed"
)

func openPrograms(t *testing.T) (*Programs, string) {
	t.Helper()
	dir := t.TempDir()
	p, err := OpenPrograms(dir)
	if err != nil {
		t.Fatal(err)
	}
	return p, dir
}

// program keeps a copy of the test binary that is a program of its own by a few bytes at its end.
func program(t *testing.T, p *Programs, end string) feed.Hash {
	t.Helper()
	data, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	data = append(data, end...)
	h := feed.HashOf(data)
	if _, err := p.Put(h, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	return h
}

func launchOnce(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), envRole+"=launch", "HANDOVER_TEST_FILE="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return strings.TrimSpace(string(out))
}

func try(t *testing.T, p *Programs, h feed.Hash) {
	t.Helper()
	if err := p.Try(h); err != nil {
		t.Fatal(err)
	}
}

// The machine's program runs the one that is to be run, and goes back if that dies twice.
func TestLaunch(t *testing.T) {
	p, dir := openPrograms(t)
	expect := func(want string, args ...string) {
		t.Helper()
		if got := launchOnce(t, dir, args...); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	expect("runs own")
	one, two := program(t, p, "one"), program(t, p, "two")
	try(t, p, one)
	expect("runs " + one.String())
	expect("runs "+one.String(), "good")
	expect("runs " + one.String())
	try(t, p, two)
	expect("runs " + two.String())
	expect("runs " + two.String())
	expect("runs " + one.String())
	if h, why, err := p.GivenUp(); h != two || !strings.Contains(why, "died 2 times") || err != nil {
		t.Error(h, why, err)
	}
	if h, good, err := p.Current(); h != one || !good || err != nil {
		t.Error(h, good, err)
	}
	// Damaged on the disk.
	if err := os.WriteFile(p.path(one), []byte("damaged"), 0o755); err != nil {
		t.Fatal(err)
	}
	expect("runs own")
	if h, why, err := p.GivenUp(); h != one || !strings.Contains(why, "is damaged") || err != nil {
		t.Error(h, why, err)
	}
	try(t, p, feed.Hash{})
	expect("runs own")
}

// What the system can't run is given up at once.
func TestLaunchOfWhatCannotRun(t *testing.T) {
	p, dir := openPrograms(t)
	text := []byte("no program")
	h := feed.HashOf(text)
	if _, err := p.Put(h, bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	try(t, p, h)
	if got := launchOnce(t, dir); !strings.Contains(got, "exec format error") || !strings.HasSuffix(got, "runs own") {
		t.Error(got)
	}
	if given, why, err := p.GivenUp(); given != h || !strings.Contains(why, "exec format error") || err != nil {
		t.Error(given, why, err)
	}
	if got := launchOnce(t, dir); got != "runs own" {
		t.Error(got)
	}
}

func TestPut(t *testing.T) {
	p, dir := openPrograms(t)
	put := func(text string) feed.Hash {
		t.Helper()
		h := feed.HashOf([]byte(text))
		path, err := p.Put(h, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode() != 0o755 {
			t.Error(info, err)
		}
		return h
	}
	if _, err := p.Put(feed.HashOf([]byte("a")), strings.NewReader("b")); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Error(err)
	}
	if err := p.Try(feed.HashOf([]byte("a"))); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	current := put("current")
	try(t, p, current)
	var all []feed.Hash
	for _, text := range []string{"1", "2", "3", "4"} {
		all = append(all, put(text))
	}
	put("4")
	for i, h := range append(all, current) {
		if _, err := p.Verified(h); (err == nil) != (i > 0) {
			t.Errorf("program %d: %v", i+1, err)
		}
	}
	if err := os.WriteFile(p.path(all[3]), []byte("damaged"), 0o755); err != nil {
		t.Fatal(err)
	}
	put("4")
	if _, err := p.Verified(all[3]); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "programs", "new-program-1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPrograms(dir); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "programs", "new-*")); left != nil {
		t.Error(left)
	}
	if err := os.WriteFile(filepath.Join(dir, "programs", stateName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.Try(current); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Error(err)
	}
}

// However programs are tried and die, one that isn't good is started twice at most, and what is run is on the disk.
func TestBoots(t *testing.T) {
	p, _ := openPrograms(t)
	var programs []feed.Hash
	for _, text := range []string{"1", "2", "3"} {
		h := feed.HashOf([]byte(text))
		if _, err := p.Put(h, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		programs = append(programs, h)
	}
	rapid.Check(t, func(t *rapid.T) {
		if err := p.write(record{Kept: programs}); err != nil {
			t.Fatal(err)
		}
		starts := map[feed.Hash]int{}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			h := rapid.SampledFrom(programs).Draw(t, "program")
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				before, _, _ := p.Current()
				if err := p.Try(h); err != nil {
					t.Fatal(err)
				}
				if before != h {
					starts[h] = 0
				}
			case 1:
				if err := p.Good(h); err != nil {
					t.Fatal(err)
				}
			default:
				r, err := p.read()
				if err != nil {
					t.Fatal(err)
				}
				l := p.decide(r, feed.Hash{}, false, feed.Hash{})
				if l.write {
					if err := p.write(l.next); err != nil {
						t.Fatal(err)
					}
				}
				if l.hash.IsZero() {
					continue
				}
				if again := p.decide(l.next, l.hash, true, l.hash); again.run != "" || again.write {
					t.Fatalf("what was run doesn't stay: %+v", again)
				}
				if l.next.Good {
					continue
				}
				if starts[l.hash]++; starts[l.hash] > startsMax {
					t.Fatalf("%s was started %d times", l.hash, starts[l.hash])
				}
			}
		}
	})
}
