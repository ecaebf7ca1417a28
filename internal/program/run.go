package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/snap"
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
	if o.Linux.Trace != nil {
		defer func() { replaced(m).print(s.Err) }()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	input := read(ctx, s.In)
	for {
		stop, err := p.Run(ctx)
		if err == nil && o.Paging.Resident > 0 {
			stop, err = hold(m, stop)
		}
		switch {
		case err != nil:
			return 0, err
		case stop.Kind != linux.WantsInput:
			return conclude(stop, s.Err, p.Metrics())
		}
		select {
		case c := <-input:
			if c.err != nil && !errors.Is(c.err, io.EOF) {
				return 0, fmt.Errorf("reading standard input: %w", c.err)
			}
			if n := p.WriteStdin(c.bytes); n < len(c.bytes) {
				return 0, fmt.Errorf("the program wants input and takes %d bytes of %d", n, len(c.bytes))
			}
			if c.err != nil {
				p.CloseStdin()
			}
		case <-time.After(stop.Wake): // a thread that sleeps is to go on
		case <-ctx.Done():
		}
	}
}

// chunk is what a Reader gave.
type chunk struct {
	bytes []byte
	err   error
}

// read reads r, a chunk ahead, until it ends. Where a read doesn't return, the goroutine ends with the process.
func read(ctx context.Context, r io.Reader) <-chan chunk {
	chunks := make(chan chunk)
	go func() {
		for {
			b := make([]byte, inputChunk)
			n, err := r.Read(b)
			select {
			case chunks <- chunk{b[:n], err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return chunks
}

// conclude says what ended the program unless it was its own exit.
func conclude(stop linux.Stop, errs io.Writer, m linux.Metrics) (status int, err error) {
	switch stop.Kind {
	case linux.Exited:
		if stop.Status != 0 && snap.Forked(&m) {
			fmt.Fprintf(errs, "wherry: the program %s\n", snap.ForkAdvice)
		}
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
