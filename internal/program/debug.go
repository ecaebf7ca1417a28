package program

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/wherry/wherry/vmm/backend"
	"github.com/wherry/wherry/vmm/debug"
	"github.com/wherry/wherry/vmm/gdb"
	"github.com/wherry/wherry/vmm/linux/abi"
)

// Debug is Run with a gdb that attaches at an address before the program begins.
func Debug(ctx context.Context, o Options, s Streams, address string) (status int, err error) {
	if o.Machine == string(backend.Auto) {
		o.Machine = string(backend.Emulator)
	}
	o.Linux.Stdout, o.Linux.Stderr = s.Out, s.Err
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := debug.Options{Machine: o.maker(), Input: reader(read(ctx, s.In))}
	if d.Program, d.Snapshot, err = o.load(); err != nil {
		return 0, err
	}
	d.Linux = o.Linux
	session, err := debug.New(d)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	l, err := listen(address)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(s.Err, "wherry: waiting for gdb: target remote %s\n", l.Addr())
	if err := gdb.Serve(ctx, l, session); errors.Is(err, gdb.ErrKilled) {
		return statusSignal + int(abi.SIGKILL), nil
	} else if err != nil {
		return 0, err
	}
	return conclude(*session.End(), s.Err, session.Metrics())
}

// listen listens on this host alone where address names none: whoever reaches the port does with the program what he wants.
func listen(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("--gdb: %w; give it an address like 127.0.0.1:1234", err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("--gdb: %w", err)
	}
	return l, nil
}

// reader makes a function of chunks that come.
func reader(chunks <-chan chunk) func(context.Context) ([]byte, error) {
	var ended error // what the last one said, with bytes that come first
	return func(ctx context.Context) ([]byte, error) {
		if ended != nil {
			return nil, ended
		}
		select {
		case c := <-chunks:
			if ended = c.err; len(c.bytes) > 0 {
				return c.bytes, nil
			}
			return nil, ended
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
