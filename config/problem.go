package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says whether a Problem keeps a configuration from being used.
type Severity int

// The severities.
const (
	Error   Severity = iota // the configuration can't be used
	Warning                 // it can, but does probably not what was meant
)

// String returns error or warning.
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Severity Severity
	File     string
	Line     int    // from 1
	Column   int    // from 1, in characters
	Path     string // such as sites[0].hosts[1]; empty when it is about the file as a whole
	What     string // what is wrong
	Instead  string // what to do or write instead
}

// String returns `file:line:column: path: what is wrong; what to write instead`, with `warning: ` before the path of a warning.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	if p.Severity == Warning {
		b.WriteString("warning: ")
	}
	if p.Path != "" {
		b.WriteString(p.Path)
		b.WriteString(": ")
	}
	b.WriteString(p.What)
	if p.Instead != "" {
		b.WriteString("; ")
		b.WriteString(p.Instead)
	}
	return b.String()
}

// Problems are what is wrong with one configuration, in the order of the file.
type Problems []Problem

var _ error = Problems(nil)

// Error returns the problems, one a line. Use Err where an error is wanted: Problems with only warnings are no failure, and a
// nil Problems in an error is not nil.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Err returns the problems of severity Error as an error, or nil if there are none.
func (ps Problems) Err() error {
	if errors := ps.only(Error); len(errors) > 0 {
		return errors
	}
	return nil
}

// Count returns how many errors and warnings there are.
func (ps Problems) Count() (errors, warnings int) {
	errors = len(ps.only(Error))
	return errors, len(ps) - errors
}

func (ps Problems) only(severity Severity) Problems {
	return slices.DeleteFunc(slices.Clone(ps), func(p Problem) bool { return p.Severity != severity })
}

// problemsMax bounds a list of Problems: nobody reads on after so many, and a hostile file could have millions.
const problemsMax = 1000

// place is where something stands in the file.
type place struct{ line, column int }

func (p place) String() string { return fmt.Sprintf("line %d", p.line) }

// mistake is what is wrong with one value.
type mistake struct{ what, instead string }

func mistaken(what, instead string) *mistake {
	if what == "" {
		return nil
	}
	return &mistake{what, instead}
}

// around returns m for a value that has front and back around the part that m is about: what is to be written is the whole value.
func (m *mistake) around(front, back string) *mistake {
	if part, ok := strings.CutPrefix(m.instead, "write "); ok && !strings.Contains(part, " ") {
		return &mistake{m.what, "write " + front + part + back}
	}
	return m
}

// collector gathers the problems of one file.
type collector struct {
	file    string
	list    Problems
	failed  map[string]bool // paths with an error
	dropped int
	worst   Severity // of the dropped
}

func newCollector(file string) *collector {
	return &collector{file: file, failed: map[string]bool{}, worst: Warning}
}

func (c *collector) error(at place, path string, m mistake) {
	c.failed[path] = true
	c.add(Error, at, path, m)
}

func (c *collector) warn(at place, path string, m mistake) {
	c.add(Warning, at, path, m)
}

func (c *collector) add(severity Severity, at place, path string, m mistake) {
	if c.full() {
		c.dropped++
		c.worst = min(c.worst, severity)
		return
	}
	c.list = append(c.list, Problem{
		Severity: severity, File: c.file, Line: max(at.line, 1), Column: max(at.column, 1),
		Path: path, What: m.what, Instead: m.instead,
	})
}

func (c *collector) full() bool { return len(c.list) >= problemsMax }

// problems returns what was gathered, in the order of the file.
func (c *collector) problems() Problems {
	slices.SortStableFunc(c.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if c.dropped > 0 {
		last := c.list[len(c.list)-1]
		c.list = append(c.list, Problem{
			Severity: c.worst, File: c.file, Line: last.Line, Column: last.Column,
			What: fmt.Sprintf("%d further problems are not listed", c.dropped), Instead: "fix those above first",
		})
	}
	return c.list
}
