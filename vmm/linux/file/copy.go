package file

import "github.com/wherry/wherry/vmm/linux/abi"

// Sendfile is sendfile: from a file, to anything. It uses and moves the file's own offset where off is nil, as do the calls below.
func (t *Table) Sendfile(out, in int, off *int64, n int) (int, abi.Errno) {
	from, to, e := t.fromTo(in, out)
	switch {
	case e != 0:
		return 0, e
	case off != nil && *off < 0:
		return 0, abi.EINVAL
	case from.node == nil || from.node.kind == nodeDir || to.now.flags&abi.O_APPEND != 0:
		return 0, abi.EINVAL
	}
	return t.move(from, off, to, nil, n)
}

// CopyFileRange is copy_file_range, between regular files.
func (t *Table) CopyFileRange(in int, inOff *int64, out int, outOff *int64, n, flags int) (int, abi.Errno) {
	from, to, e := t.fromTo(in, out)
	switch {
	case e != 0:
		return 0, e
	case flags != 0:
		return 0, abi.EINVAL
	case from.node != nil && from.node.kind == nodeDir, to.node != nil && to.node.kind == nodeDir:
		return 0, abi.EISDIR
	case !from.regular() || !to.regular():
		return 0, abi.EINVAL
	case to.now.flags&abi.O_APPEND != 0:
		return 0, abi.EBADF
	}
	a, b := offset(from, inOff), offset(to, outOff)
	if a < 0 || b < 0 {
		return 0, abi.EINVAL
	}
	n = int(max(min(int64(n), from.node.size()-a), 0))
	if from.node == to.node && a < addTime(b, int64(n)) && b < addTime(a, int64(n)) {
		return 0, abi.EINVAL // they overlap
	}
	return t.move(from, inOff, to, outOff, n)
}

func offset(f *openFile, off *int64) int64 {
	if off != nil {
		return *off
	}
	return f.now.off
}

// Splice is splice: one side is a pipe.
func (t *Table) Splice(in int, inOff *int64, out int, outOff *int64, n, flags int) (int, abi.Errno) {
	const known = 1 | 2 | 4 | 8 // SPLICE_F_MOVE, NONBLOCK, MORE, GIFT
	if flags&^known != 0 {
		return 0, abi.EINVAL
	}
	if n == 0 {
		return 0, 0
	}
	from, to, e := t.fromTo(in, out)
	if e != 0 {
		return 0, e
	}
	a, fromPipe := from.object.(*pipe)
	b, toPipe := to.object.(*pipe)
	switch {
	case fromPipe && inOff != nil, toPipe && outOff != nil:
		return 0, abi.ESPIPE
	case !fromPipe && !toPipe, fromPipe && toPipe && a == b, to.now.flags&abi.O_APPEND != 0:
		return 0, abi.EINVAL
	case inOff != nil && (from.node == nil || *inOff < 0), outOff != nil && (to.node == nil || *outOff < 0):
		return 0, abi.EINVAL
	}
	return t.move(from, inOff, to, outOff, n)
}

func (t *Table) fromTo(in, out int) (from, to *openFile, e abi.Errno) {
	if from, e = t.get(in); e != 0 {
		return nil, nil, e
	}
	if to, e = t.get(out); e != 0 {
		return nil, nil, e
	}
	if !from.readable() || !to.writable() {
		return nil, nil, abi.EBADF
	}
	return from, to, 0
}

// move takes bytes from one open file to another. What the other has no room for isn't taken.
func (t *Table) move(from *openFile, inOff *int64, to *openFile, outOff *int64, n int) (done int, e abi.Errno) {
	if t.chunk == nil {
		t.chunk = make([]byte, copyChunk)
	}
	for n = min(n, rwMax); done < n; {
		b := t.chunk[:min(n-done, copyChunk)]
		k, e := t.look(from, inOff, b)
		if k == 0 || e != 0 {
			return done, ifNone(done, e)
		}
		v := [][]byte{b[:k]}
		w := 0
		if file, ok := to.object.(*node); ok && outOff != nil && file.kind == nodeFile {
			w, e = file.writeAt(t, v, *outOff)
			*outOff += int64(w)
		} else {
			w, e = to.object.write(t, to, v)
		}
		if w > 0 {
			t.take(from, inOff, b[:w])
			done += w
		}
		if e != 0 || w < k {
			return done, ifNone(done, e)
		}
		if _, ok := from.object.(*node); !ok {
			break // a pipe gives what it has
		}
	}
	return done, 0
}

func ifNone(done int, e abi.Errno) abi.Errno {
	if done > 0 {
		return 0
	}
	return e
}

// look reads bytes without taking them.
func (t *Table) look(f *openFile, off *int64, p []byte) (int, abi.Errno) {
	switch o := f.object.(type) {
	case *node:
		if o.kind == nodeDevice {
			return t.readDevice(o, [][]byte{p})
		}
		return o.readAt(f, [][]byte{p}, offset(f, off))
	case *pipe:
		if o.now.buffer.len() == 0 && o.now.writers > 0 {
			return 0, abi.EAGAIN
		}
		return o.now.buffer.peek(p), 0
	case *socket:
		return o.receive(t, [][]byte{p}, abi.MSG_PEEK)
	case *stream:
		if o.number == 0 && o.now.buffer.len() > 0 {
			return o.now.buffer.peek(p), 0
		}
		return o.read(t, f, [][]byte{p})
	}
	return 0, abi.EINVAL
}

// take moves on behind bytes that look saw.
func (t *Table) take(f *openFile, off *int64, p []byte) {
	switch o := f.object.(type) {
	case *node:
		if off != nil {
			*off += int64(len(p))
			return
		}
		t.keep(&f.kept, f)
		f.now.off += int64(len(p))
	default:
		o.read(t, f, [][]byte{p})
	}
}
