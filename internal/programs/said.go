package programs

import (
	"strings"
	"time"

	"github.com/wherry/wherry/portal"
)

const (
	// LinesMax is how many lines of a program are kept.
	LinesMax = 256
	// lineMax is how long one is at most.
	lineMax = 1024
	// linesASecond is how many of a program go to the log.
	linesASecond = 20
)

// ring has the last lines that a program wrote to standard error.
type ring struct {
	lines  []portal.ProgramLine // up to LinesMax, then next is the oldest
	next   int
	second time.Time // in which logged lines went to the log
	logged int
}

// add keeps a line and says whether it goes to the log, too; last: no other of this second will.
func (r *ring) add(line portal.ProgramLine) (log, last bool) {
	if len(r.lines) < LinesMax {
		r.lines = append(r.lines, line)
	} else {
		r.lines[r.next] = line
		r.next = (r.next + 1) % LinesMax
	}
	if second := line.At.Truncate(time.Second); !second.Equal(r.second) {
		r.second, r.logged = second, 0
	}
	r.logged++
	return r.logged <= linesASecond, r.logged == linesASecond
}

// all are the lines, the oldest first.
func (r *ring) all() []portal.ProgramLine {
	return append(append([]portal.ProgramLine{}, r.lines[r.next:]...), r.lines[:r.next]...)
}

// hear takes what a program has written to standard error in a call.
func (s *Set) hear(program, text string) {
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.said[program]
	if r == nil {
		return // it was removed meanwhile
	}
	for line := range strings.Lines(text) {
		line = strings.ToValidUTF8(strings.TrimRight(line, "\r\n"), "\uFFFD")
		if line == "" {
			continue
		}
		line = strings.ToValidUTF8(line[:min(len(line), lineMax)], "")
		if log, last := r.add(portal.ProgramLine{At: now, Text: line}); log {
			s.o.Log.Info("a program said", "program", program, "line", line, "more_is_left_out", last)
		}
	}
}

// Log returns the last lines that a program wrote to standard error, the oldest first.
func (s *Set) Log(name string) ([]portal.ProgramLine, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.said[name]
	if r == nil {
		return nil, false
	}
	return r.all(), true
}
