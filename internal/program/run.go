package program

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/wherry/wherry/vmm/linux"
)

// Streams are a program's standard input and output, and where is said what happened to it.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// The exit statuses of Run beside the program's own, as shells and timeout(1) have them.
const (
	statusLimit    = 124
	statusDeadlock = 125
	statusSignal   = 128 // + the signal's number
)

// inputChunk is how much input is read at once.
const inputChunk = 64 << 10

// Run lets the program run to its end, and returns its exit status.
func Run(ctx context.Context, o Options, s Streams) (status int, err error) {
	o.Linux.Stdout, o.Linux.Stderr = s.Out, s.Err
	m, p, err := o.start()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	chunk := make([]byte, inputChunk)
	for {
		stop, err := p.Run(ctx)
		if err != nil {
			return 0, err
		}
		if stop.Kind != linux.WantsInput {
			return conclude(stop, s.Err, p.Metrics())
		}
		n, err := s.In.Read(chunk)
		for given := 0; given < n; { // its queue is as large as a chunk and empty
			k := p.WriteStdin(chunk[given:n])
			if k == 0 {
				return 0, errors.New("the program wants input and takes none")
			}
			given += k
		}
		switch {
		case errors.Is(err, io.EOF):
			p.CloseStdin()
		case err != nil:
			return 0, fmt.Errorf("reading standard input: %w", err)
		}
	}
}

// conclude says what ended the program unless it was its own exit.
func conclude(stop linux.Stop, errs io.Writer, m linux.Metrics) (status int, err error) {
	switch stop.Kind {
	case linux.Exited:
		return stop.Status, nil
	case linux.Killed:
		status = statusSignal + int(stop.Signal)
	case linux.LimitPassed:
		status = statusLimit
	default:
		status = statusDeadlock
	}
	fmt.Fprintf(errs, "wherry: the program %s\n", stop)
	for name, n := range m.Unknown {
		fmt.Fprintf(errs, "wherry: it called %s, which isn't there, %d times\n", name, n)
	}
	return status, nil
}
