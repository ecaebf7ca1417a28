package program

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/backend"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/phys"
	"github.com/wherry/wherry/vmm/rootfs"
	"github.com/wherry/wherry/vmm/snap"
)

// Options are common to all of this room.
type Options struct {
	Machine string // kvm, emulator or auto
	Program string // the file: a program, an archive or directory that has one, or a snapshot of one
	Linux   linux.Options
	Paging  Paging

	Files      string // a directory that the program sees; it is the file then. Empty: none
	Executable string // where the program is in an archive or a directory; empty: /program, or the only one
}

// programMax bounds a program in bytes.
const programMax = 1 << 30

// load reads the program, or the snapshot that it is, and has o.Linux have its files.
func (o *Options) load() (program []byte, s *snap.Snapshot, err error) {
	image, err := rootfs.Make(o.Program, o.Files, func(name string) (image []byte, err error) {
		image, s, err = readFile(name)
		return image, err
	})
	if s != nil {
		if o.Files != "" || o.Executable != "" {
			return nil, nil, errors.Join(fmt.Errorf("%s is a snapshot, which has its files and program in it; leave --files and --executable out", o.Program), s.Close())
		}
		return nil, s, nil
	}
	if errors.As(err, new(*fs.PathError)) {
		return nil, nil, err // it has the name
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", o.Program, err)
	}
	p, err := snap.ReadProgram(image, o.Executable)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", o.Program, err)
	}
	if p.Files != nil {
		o.Linux.Image = p.Files
	}
	return p.ELF, nil, nil
}

// readFile reads a file, which may be a snapshot.
func readFile(name string) (image []byte, s *snap.Snapshot, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	beginning, err := r.Peek(8)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	if snap.IsSnapshot(beginning) {
		s, err = snap.Read(r)
		return nil, s, err
	}
	image, err = io.ReadAll(io.LimitReader(r, programMax+1))
	if err == nil && len(image) > programMax {
		err = fmt.Errorf("it has more than %d bytes", programMax)
	}
	return image, nil, err
}

// maker makes machines of the wanted kind.
func (o Options) maker() snap.Maker {
	return func(m *phys.Memory) (vmm.Machine, error) { return o.Paging.machine(backend.Kind(o.Machine), m) }
}

// machine makes one with nothing in its memory.
func (o Options) machine() (vmm.Machine, error) {
	memory := phys.New(phys.Options{})
	m, err := o.maker()(memory)
	if err != nil {
		return nil, errors.Join(err, memory.Close())
	}
	return m, nil
}

// start makes a process of the program, or of the snapshot that it is. It is closed with its machine.
func (o Options) start() (vmm.Machine, *linux.Process, error) {
	program, s, err := o.load()
	if err != nil {
		return nil, nil, err
	}
	if s != nil {
		o.Machine = s.Kind()
		i, err := s.Start(o.maker(), o.Linux)
		if err != nil {
			return nil, nil, errors.Join(err, s.Close())
		}
		return i.Machine(), i.Process(), nil
	}
	m, err := o.machine()
	if err != nil {
		return nil, nil, err
	}
	p, err := linux.Load(m, program, o.Linux)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", o.Program, err), m.Close())
	}
	return m, p, nil
}

// Freeze runs the program until it waits for input and writes its snapshot.
func Freeze(ctx context.Context, o Options, w io.Writer) (err error) {
	s, err := o.snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	_, err = s.WriteTo(w)
	return err
}

// snapshot is of the program, or the one that it is.
func (o Options) snapshot(ctx context.Context) (s *snap.Snapshot, err error) {
	program, s, err := o.load()
	if s != nil || err != nil {
		return s, err
	}
	m, err := o.machine()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	p, err := snap.Boot(ctx, m, program, o.Linux)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Program, err)
	}
	return snap.Take(m, p)
}
