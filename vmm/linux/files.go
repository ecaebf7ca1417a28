package linux

import (
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/plain"
)

const (
	// chunkMax is how much of a file is copied at once.
	chunkMax = plain.ChunkMax
	// transferMax bounds a read or write (MAX_RW_COUNT).
	transferMax = 0x7ffff000
)

var fileCalls = map[abi.Call]call{
	abi.SYS_READ:            {callRead, "dxd"},
	abi.SYS_WRITE:           {callWrite, "dbd"},
	abi.SYS_WHERRY_EXCHANGE: {callExchange, "blxlbl"},
	abi.SYS_READV:           {callReadv, "dxd"},
	abi.SYS_WRITEV:          {callWritev, "dxd"},
	abi.SYS_PREAD64:         {callPread, "dxdl"},
	abi.SYS_PWRITE64:        {callPwrite, "dbdl"},
	abi.SYS_PREADV:          {callPreadv, "dxdl"},
	abi.SYS_PWRITEV:         {callPwritev, "dxdl"},
	abi.SYS_SENDFILE:        {callSendfile, "ddxd"},
	abi.SYS_COPY_FILE_RANGE: {callCopyFileRange, "dxdxd"},
	abi.SYS_SPLICE:          {callSplice, "dxdxd"},
}

func fd(v uint64) int { return int(int32(v)) }

// wait has t wait for descriptor n if that is what it wants when something isn't ready.
func (p *Process) waitFor(t *Task, n int, e abi.Errno) (uint64, abi.Errno) {
	if e == dontWait {
		return 0, abi.EAGAIN
	}
	if e != abi.EAGAIN || !p.Files.Blocking(n) {
		return 0, p.pipeSignal(t, e)
	}
	return t.block(waitFiles, abi.ERESTARTSYS)
}

// pipeSignal sends SIGPIPE with EPIPE.
func (p *Process) pipeSignal(t *Task, e abi.Errno) abi.Errno {
	if e == abi.EPIPE {
		_ = p.send(abi.Siginfo{Signo: abi.SIGPIPE, Code: abi.SI_USER, PID: firstID}, t)
	}
	return e
}

// buffer is memory for one call.
func (p *Process) buffer(n uint64) []byte {
	if uint64(cap(p.scratch)) < n {
		p.scratch = make([]byte, max(n, 4096))
	}
	return p.scratch[:n]
}

// transfer reads or writes n bytes at va by chunks, until something is less than a chunk.
func (p *Process) transfer(t *Task, d int, va, n uint64, access uint32, do func(b []byte, done uint64) (int, abi.Errno)) (uint64, abi.Errno) {
	n = min(n, transferMax)
	if n > 0 {
		if n = p.space.Reach(va, n, access); n == 0 {
			return 0, abi.EFAULT
		}
	}
	for done := uint64(0); ; {
		b := p.buffer(min(n-done, chunkMax))
		if access == abi.PROT_READ {
			if e := p.space.CopyIn(b, va+done); e != 0 {
				return done, e
			}
		}
		got, e := do(b, done)
		if e != 0 {
			if done > 0 {
				return done, 0
			}
			return p.waitFor(t, d, e)
		}
		if access == abi.PROT_WRITE {
			if e := p.space.CopyOut(va+done, b[:got]); e != 0 {
				return done, e
			}
		}
		done += uint64(got)
		if got < len(b) || done == n || len(b) == 0 {
			return done, 0
		}
	}
}

func callRead(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	d := fd(a[0])
	return p.transfer(t, d, a[1], a[2], abi.PROT_WRITE, func(b []byte, _ uint64) (int, abi.Errno) { return p.Files.Read(d, b) })
}

func callWrite(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	d := fd(a[0])
	n := min(a[2], transferMax)
	return p.whole(t, d, n, func(done uint64) (uint64, abi.Errno) {
		return p.transfer(t, d, a[1]+done, n-done, abi.PROT_READ, func(b []byte, _ uint64) (int, abi.Errno) { return p.Files.Write(d, b) })
	})
}

// whole makes a write of n bytes: one to a descriptor that blocks returns when all is written, or a signal ends it.
func (p *Process) whole(t *Task, d int, n uint64, part func(done uint64) (uint64, abi.Errno)) (uint64, abi.Errno) {
	done := &t.Wait.Addr
	*done = min(*done, n)
	for {
		got, e := part(*done)
		if e == blocked || e != 0 && *done == 0 {
			return got, e
		}
		if e == 0 {
			*done += got
		}
		if e != 0 || got == 0 || *done >= n || !p.Files.Blocking(d) {
			return *done, 0
		}
	}
}

func callPread(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	d := fd(a[0])
	return p.transfer(t, d, a[1], a[2], abi.PROT_WRITE, func(b []byte, done uint64) (int, abi.Errno) { return p.Files.Pread(d, b, int64(a[3]+done)) })
}

func callPwrite(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	d := fd(a[0])
	return p.transfer(t, d, a[1], a[2], abi.PROT_READ, func(b []byte, done uint64) (int, abi.Errno) { return p.Files.Pwrite(d, b, int64(a[3]+done)) })
}

func (p *Process) readVectors(t *Task, a *args, do func(b []byte) (int, abi.Errno)) (uint64, abi.Errno) {
	v, total, e := plain.Vectors(p.space, a[1], a[2], abi.PROT_WRITE)
	if e != 0 {
		return 0, e
	}
	b := p.buffer(total)
	n, e := do(b)
	if e != 0 {
		return p.waitFor(t, fd(a[0]), e)
	}
	return uint64(n), plain.Scatter(p.space, v, b[:n])
}

func (p *Process) writeVectors(t *Task, a *args, do func(b []byte) (int, abi.Errno)) (uint64, abi.Errno) {
	b, e := p.gather(a[1], a[2])
	if e != 0 {
		return 0, e
	}
	return p.whole(t, fd(a[0]), uint64(len(b)), func(done uint64) (uint64, abi.Errno) {
		n, e := do(b[done:])
		if e != 0 {
			return p.waitFor(t, fd(a[0]), e)
		}
		return uint64(n), 0
	})
}

func (p *Process) gather(at, count uint64) ([]byte, abi.Errno) {
	v, total, e := plain.Vectors(p.space, at, count, abi.PROT_READ)
	if e != 0 {
		return nil, e
	}
	b := p.buffer(total)
	for rest := b; len(v) > 0; v = v[1:] {
		if e := p.space.CopyIn(rest[:v[0].Len], v[0].Base); e != 0 {
			return nil, e
		}
		rest = rest[v[0].Len:]
	}
	return b, 0
}

func callReadv(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	return p.readVectors(t, a, func(b []byte) (int, abi.Errno) { return p.Files.Read(fd(a[0]), b) })
}

func callWritev(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	return p.writeVectors(t, a, func(b []byte) (int, abi.Errno) { return p.Files.Write(fd(a[0]), b) })
}

func callPreadv(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	return p.readVectors(t, a, func(b []byte) (int, abi.Errno) { return p.Files.Pread(fd(a[0]), b, int64(a[3])) })
}

func callPwritev(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	return p.writeVectors(t, a, func(b []byte) (int, abi.Errno) { return p.Files.Pwrite(fd(a[0]), b, int64(a[3]+t.Wait.Addr)) })
}

// offset is a file position at va, which a call reads, moves and writes back; nil where va is 0.
func (p *Process) offset(va uint64) (*int64, abi.Errno) {
	if va == 0 {
		return nil, 0
	}
	v, e := p.space.Word(va)
	off := int64(v)
	return &off, e
}

func (p *Process) putOffset(va uint64, off *int64) abi.Errno {
	if off == nil {
		return 0
	}
	return p.putSet(va, uint64(*off))
}

func length(n uint64) int { return int(min(n, transferMax)) }

func callSendfile(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	off, e := p.offset(a[2])
	if e != 0 {
		return 0, e
	}
	n, e := p.Files.Sendfile(fd(a[0]), fd(a[1]), off, length(a[3]))
	if e != 0 {
		return p.waitFor(t, fd(a[0]), e)
	}
	return uint64(n), p.putOffset(a[2], off)
}

func callCopyFileRange(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	return p.between(t, a, func(in, out *int64) (int, abi.Errno) {
		return p.Files.CopyFileRange(fd(a[0]), in, fd(a[2]), out, length(a[4]), int(int32(a[5])))
	})
}

func callSplice(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	return p.between(t, a, func(in, out *int64) (int, abi.Errno) {
		return p.Files.Splice(fd(a[0]), in, fd(a[2]), out, length(a[4]), int(int32(a[5])))
	})
}

func (p *Process) between(t *Task, a *args, do func(in, out *int64) (int, abi.Errno)) (uint64, abi.Errno) {
	in, e := p.offset(a[1])
	out, e2 := p.offset(a[3])
	if e != 0 || e2 != 0 {
		return 0, abi.EFAULT
	}
	n, e := do(in, out)
	if e != 0 {
		return p.waitFor(t, fd(a[0]), e)
	}
	if e := p.putOffset(a[1], in); e != 0 {
		return 0, e
	}
	return uint64(n), p.putOffset(a[3], out)
}
