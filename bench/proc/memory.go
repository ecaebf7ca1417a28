package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// Memory returns how many bytes the process and its living descendants have in memory. What they share is counted once: it is the
// sum of their proportional set sizes, which of a process that shares nothing is its resident set size.
func (p *Process) Memory() (int64, error) {
	all, err := tree(p.PID())
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, s := range all {
		file := fmt.Sprintf("/proc/%d/smaps_rollup", s.pid)
		rollup, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it ended just now
		}
		if err != nil {
			return 0, err
		}
		bytes, err := parsePSS(rollup)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", file, err)
		}
		sum += bytes
	}
	return sum, nil
}

// parsePSS reads the line "Pss: NUMBER kB" of /proc/PID/smaps_rollup (proc_pid_smaps(5)).
func parsePSS(rollup []byte) (int64, error) {
	for line := range bytes.Lines(rollup) {
		rest, found := bytes.CutPrefix(line, []byte("Pss:"))
		if !found {
			continue
		}
		number, found := bytes.CutSuffix(bytes.TrimSpace(rest), []byte(" kB"))
		kib, err := strconv.ParseInt(string(number), 10, 64)
		if !found || err != nil || kib < 0 {
			return 0, fmt.Errorf("no size in %q", line)
		}
		return kib << 10, nil
	}
	return 0, errors.New("no Pss")
}
