package file

import "github.com/wherry/wherry/vmm/linux/abi"

// stream is one of the three standard streams.
type stream struct {
	kept
	number    uint8 // 0, 1 or 2
	now, then streamState
}

type streamState struct {
	buffer queue // of stdin
	ended  bool  // stdin is closed: its end comes after the bytes
	edge   uint64
}

func (s *stream) save() {
	s.then.buffer.set(&s.now.buffer)
	s.then.ended, s.then.edge = s.now.ended, s.now.edge
}

func (s *stream) back() {
	s.now.buffer.set(&s.then.buffer)
	s.now.ended, s.now.edge = s.then.ended, s.then.edge
}

// stdin is the stream that WriteStdin feeds, if the program still has it.
func (t *Table) stdin() *stream {
	for i := range t.fds {
		if f := t.fds[i].file; f != nil {
			if s, ok := f.object.(*stream); ok && s.number == 0 {
				return s
			}
		}
	}
	return nil
}

// WriteStdin appends to what descriptor 0 reads, and returns how much there was room for: nothing once it's closed, or when the program closed it.
func (t *Table) WriteStdin(p []byte) int {
	s := t.stdin()
	if s == nil || s.now.ended {
		return 0
	}
	n := min(len(p), t.limits.Stdin-s.now.buffer.len())
	if n > 0 {
		t.keep(&s.kept, s)
		s.now.buffer.push(p[:n])
		s.now.edge++
		t.version++
		t.starved = false
	}
	return max(n, 0)
}

// CloseStdin ends descriptor 0's bytes.
func (t *Table) CloseStdin() {
	if s := t.stdin(); s != nil {
		t.keep(&s.kept, s)
		s.now.ended = true
		s.now.edge++
		t.version++
		t.starved = false
	}
}

// Starved says that the program read descriptor 0, or looked whether it's readable, and found nothing since the last WriteStdin: it wants input.
func (t *Table) Starved() bool { return t.starved }

func (s *stream) read(t *Table, _ *openFile, v [][]byte) (int, abi.Errno) {
	if s.number != 0 {
		return 0, 0 // opened by /proc/self/fd for reading: nothing ever comes
	}
	if total(v) == 0 {
		return 0, 0
	}
	if s.now.buffer.len() == 0 {
		if s.now.ended {
			return 0, 0
		}
		t.starved = true
		return 0, abi.EAGAIN
	}
	t.keep(&s.kept, s)
	n := 0
	for _, p := range v {
		k := s.now.buffer.peek(p)
		s.now.buffer.drop(k)
		n += k
	}
	return n, 0
}

func (s *stream) write(t *Table, _ *openFile, v [][]byte) (int, abi.Errno) {
	out := t.o.Stdout
	switch s.number {
	case 0:
		return 0, abi.EBADF
	case 2:
		out = t.o.Stderr
	}
	n := 0
	for _, p := range v {
		if limit := t.limits.Output; limit > 0 && int64(len(p)) > limit-t.now.output {
			t.now.exceeded = true
			p = p[:limit-t.now.output]
		}
		k, err := out.Write(p)
		k = max(min(k, len(p)), 0)
		n += k
		t.now.output += int64(k)
		if (err != nil || t.now.exceeded) && n == 0 {
			return 0, abi.EIO
		}
		if err != nil || t.now.exceeded {
			break
		}
	}
	return n, 0
}

func (s *stream) ready(t *Table, _ *openFile) uint32 {
	switch {
	case s.number != 0:
		return abi.POLLOUT | abi.POLLWRNORM
	case s.now.buffer.len() > 0:
		return abi.POLLIN | abi.POLLRDNORM
	case s.now.ended:
		return abi.POLLHUP
	}
	t.starved = true
	return 0
}

func (s *stream) edges(*Table, *openFile) (in, out uint64) { return s.now.edge, 0 }

// stat says that it's a pipe: programs look whether they can seek, or talk to a terminal, and buffer accordingly.
func (s *stream) stat(_ *Table, _ *openFile, st *abi.Stat) {
	*st = abi.Stat{Dev: devPipes, Ino: uint64(s.number) + 1, Nlink: 1, Mode: abi.S_IFIFO | 0o600, Blksize: pageSize}
}

func (s *stream) closed(*Table, *openFile) {}
