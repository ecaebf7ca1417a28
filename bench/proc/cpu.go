package proc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ is 100 on Linux for every architecture that Go runs on.
const tick = 10 * time.Millisecond

// stat is what we take from one /proc/PID/stat.
type stat struct {
	pid, parent int
	cpu         time.Duration // user and system time of all threads
}

// parseStat reads the one line of /proc/PID/stat (proc_pid_stat(5)):
//
//	1      2      3     4    …  14    15    …
//	pid (command) state ppid … utime stime …
//
// The command may have spaces and parentheses in it; the last closing one ends it.
func parseStat(line []byte) (stat, error) {
	open, end := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 1 || end < open {
		return stat{}, fmt.Errorf("no command in %q", line)
	}
	fields := bytes.Fields(line[end+1:]) // from the third on
	if len(fields) < 13 {
		return stat{}, fmt.Errorf("%d fields after the command in %q", len(fields), line)
	}
	var n [4]int
	for i, field := range [...][]byte{bytes.TrimSpace(line[:open]), fields[1], fields[11], fields[12]} {
		var err error
		if n[i], err = strconv.Atoi(string(field)); err != nil {
			return stat{}, fmt.Errorf("%w in %q", err, line)
		}
	}
	return stat{pid: n[0], parent: n[1], cpu: time.Duration(n[2]+n[3]) * tick}, nil
}

// CPU returns the user and system time that the process and its living descendants used so far, in steps of 10 ms each.
func (p *Process) CPU() (time.Duration, error) {
	all, err := tree(p.PID())
	var sum time.Duration
	for _, s := range all {
		sum += s.cpu
	}
	return sum, err
}

// tree returns the process root and its living descendants.
func tree(root int) ([]stat, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var all []stat
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil {
			continue // it ended just now
		}
		s, err := parseStat(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, s)
	}
	return descend(root, all), nil
}

// descend returns root and all below it.
func descend(root int, all []stat) []stat {
	var found []stat
	for _, s := range all {
		if s.pid == root {
			found = append(found, s)
		} else if s.parent == root {
			found = append(found, descend(s.pid, all)...)
		}
	}
	return found
}
