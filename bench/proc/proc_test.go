package proc

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestParseStat(t *testing.T) {
	const tail = " 0 0 0 0 0 0 0 0 "
	for _, c := range []struct {
		name, line string
		want       stat
		fails      bool
	}{
		{"plain", "7 (nginx) S 3 7 7 0 -1 4194560 90 0 0 0 12 34" + tail, stat{7, 3, 460 * time.Millisecond}, false},
		{"a command that looks like the rest", "7 (a) S 9 (b) R 3 7 7 0 -1 4194560 90 0 0 0 1 0" + tail, stat{7, 3, 10 * time.Millisecond}, false},
		{"no command", "7 nginx S 3", stat{}, true},
		{"cut off", "7 (nginx) S 3 7", stat{}, true},
		{"no number", "7 (nginx) S x 7 7 0 -1 4194560 90 0 0 0 12 34" + tail, stat{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseStat([]byte(c.line))
			if (err != nil) != c.fails || got != c.want {
				t.Errorf("got %+v, %v; want %+v, fails %v", got, err, c.want, c.fails)
			}
		})
	}
}

func TestDescendantsOnlyAreCounted(t *testing.T) {
	all := []stat{{1, 0, 1000}, {5, 1, 1}, {6, 5, 20}, {7, 6, 300}, {8, 1, 4000}}
	var sum time.Duration
	for _, s := range descend(5, all) {
		sum += s.cpu
	}
	if sum != 321 {
		t.Errorf("got %d, want 321", sum)
	}
}

func TestParsePSS(t *testing.T) {
	const rollup = "5581000-7ffd000 ---p 00000000 00:00 0    [rollup]\nRss:     2048 kB\nPss:     1024 kB\nPss_Dirty:   512 kB\n"
	if got, err := parsePSS([]byte(rollup)); err != nil || got != 1<<20 {
		t.Errorf("got %d, %v; want 1 MiB", got, err)
	}
	for _, bad := range []string{"", "Rss: 1 kB\n", "Pss: 1 MB\n", "Pss: x kB\n", "Pss: -1 kB\n"} {
		if got, err := parsePSS([]byte(bad)); err == nil {
			t.Errorf("%q was taken for %d bytes", bad, got)
		}
	}
}

func TestMemoryCountsChildren(t *testing.T) {
	p, err := Start("go", "/bin/sh", "-c", "sleep 60 & echo go; wait")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	if err := p.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := tree(p.PID())
	if err != nil || len(all) != 2 {
		t.Fatalf("%d processes, %v; want the shell and its child", len(all), err)
	}
	if got, err := p.Memory(); err != nil || got < 100<<10 || got > 100<<20 {
		t.Errorf("%d bytes, %v", got, err)
	}
}

func TestProcessIsReadyUsesCPUAndStops(t *testing.T) {
	p, err := Start("go", "/bin/sh", "-c", "echo before; echo go; sh -c 'while :; do :; done' & wait")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := p.AwaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	if got := p.Output(); !strings.HasPrefix(got, "before\n") {
		t.Errorf("output %q, want its first line too", got)
	}
	for { // the child spins, so this ends
		used, err := p.CPU()
		if err != nil {
			t.Fatal(err)
		}
		if used >= 5*tick {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the time of the child isn't counted: %v", used)
		}
	}
}

func TestAwaitReadyTellsWhatTheProcessSaid(t *testing.T) {
	p, err := Start("ready", "/bin/sh", "-c", "echo the port is taken >&2; exit 1")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	if err := p.AwaitReady(t.Context()); err == nil || !strings.Contains(err.Error(), "the port is taken") {
		t.Errorf("got %v, want what the process said", err)
	}
}

func TestAwaitDialEndsWithTheProcess(t *testing.T) {
	addr, err := FreeAddr("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Start("", os.Args[0], "-test.run=^$")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	if err := p.AwaitDial(t.Context(), addr); err == nil {
		t.Error("nobody listens there, but it was reached")
	}
}
