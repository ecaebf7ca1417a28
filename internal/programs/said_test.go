package programs

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// All lines up to LinesMax are kept, and some of them are logged.
func TestSaid(t *testing.T) {
	var log strings.Builder
	now := time.Unix(1000, 0)
	s, err := New(Options{State: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.said["hello"] = &ring{}
	s.hear("nobody", "lost\n")
	s.hear("hello", "one\r\n\ntwo\xff\n"+strings.Repeat("x", 2*lineMax))
	lines, ok := s.Log("hello")
	if !ok || len(lines) != 3 || lines[0].Text != "one" || lines[1].Text != "two\uFFFD" || len(lines[2].Text) != lineMax || !lines[0].At.Equal(now) {
		t.Errorf("%q, %v", lines, ok)
	}
	for i := range 2 * LinesMax {
		s.hear("hello", fmt.Sprintf("line %d\n", i))
	}
	lines, _ = s.Log("hello")
	if len(lines) != LinesMax || lines[0].Text != fmt.Sprintf("line %d", LinesMax) || lines[LinesMax-1].Text != fmt.Sprintf("line %d", 2*LinesMax-1) {
		t.Errorf("%d lines, from %q to %q", len(lines), lines[0].Text, lines[len(lines)-1].Text)
	}
	if n := strings.Count(log.String(), "a program said"); n != linesASecond {
		t.Errorf("%d lines in the log of one second, want %d", n, linesASecond)
	}
	now = now.Add(time.Second)
	s.hear("hello", "the next second\n")
	if !strings.Contains(log.String(), "the next second") {
		t.Error("nothing is logged any more")
	}
	if _, ok := s.Log("nobody"); ok {
		t.Error("somebody is known who isn't there")
	}
}
