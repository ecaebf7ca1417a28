package file

import (
	"io"
	"math"

	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/iovec"
	"github.com/wherry/wherry/vmm/linux/ledger"
)

// stream is one of the three standard streams.
type stream struct {
	kept      ledger.Mark
	number    uint8 // 0, 1 or 2
	now, then streamState
}

type streamState struct {
	buffer iovec.Queue // of stdin
	ended  bool        // stdin is closed: its end comes after the bytes
	edge   uint64      // of what it can be used for
}

// Outlet is a Stdout that may be full: the program's writes wait then, as for a pipe, until Drained.
type Outlet interface {
	io.Writer
	// Room is how many bytes Write takes now.
	Room() int
}

// room is how many bytes w takes now.
func room(w io.Writer) int {
	if o, ok := w.(Outlet); ok {
		return o.Room()
	}
	return math.MaxInt
}

func (s *stream) Save() {
	s.then.buffer.Set(&s.now.buffer)
	s.then.ended, s.then.edge = s.now.ended, s.now.edge
}

func (s *stream) Back() {
	s.now.buffer.Set(&s.then.buffer)
	s.now.ended, s.now.edge = s.then.ended, s.then.edge
}

// standard is the stream of a number, if the program still has it.
func (t *Table) standard(number uint8) *stream {
	for i := range t.slots.fds {
		if f := t.slots.fds[i].file; f != nil {
			if s, ok := f.object.(*stream); ok && s.number == number {
				return s
			}
		}
	}
	return nil
}

// WriteStdin appends to what descriptor 0 reads, and returns how much there was room for: nothing once it's closed, or when the program closed it.
func (t *Table) WriteStdin(p []byte) int {
	s := t.standard(0)
	if s == nil || s.now.ended {
		return 0
	}
	n := min(len(p), t.ledger.Limits.Stdin-s.now.buffer.Len())
	if n > 0 {
		t.ledger.Keep(&s.kept, s)
		s.now.buffer.Push(p[:n])
		s.now.edge++
		t.ledger.Version++
		t.starved = false
	}
	return max(n, 0)
}

// CloseStdin ends descriptor 0's bytes.
func (t *Table) CloseStdin() {
	if s := t.standard(0); s != nil {
		t.ledger.Keep(&s.kept, s)
		s.now.ended = true
		s.now.edge++
		t.ledger.Version++
		t.starved = false
	}
}

// Hears says whether the program still has what WriteStdin feeds.
func (t *Table) Hears() bool { return t.standard(0) != nil }

// Drained says that a Stdout that was full, an Outlet, has room again.
func (t *Table) Drained() {
	if s := t.standard(1); s != nil {
		t.ledger.Keep(&s.kept, s)
		s.now.edge++
		t.ledger.Version++
	}
}

// Starved says that the program read descriptor 0, or looked whether it's readable, and found nothing since the last WriteStdin: it wants input.
func (t *Table) Starved() bool { return t.starved }

func (s *stream) read(t *Table, _ *openFile, v [][]byte) (int, abi.Errno) {
	if s.number != 0 {
		return 0, 0 // opened by /proc/self/fd for reading: nothing ever comes
	}
	if iovec.Total(v) == 0 {
		return 0, 0
	}
	if s.now.buffer.Len() == 0 {
		if s.now.ended {
			return 0, 0
		}
		t.starved = true
		return 0, abi.EAGAIN
	}
	t.ledger.Keep(&s.kept, s)
	return s.now.buffer.Pop(v), 0
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
		whole := len(p)
		if p = p[:min(len(p), room(out))]; len(p) == 0 && whole > 0 && n == 0 {
			return 0, abi.EAGAIN
		}
		full := len(p) < whole
		if limit := t.ledger.Limits.Output; limit > 0 && int64(len(p)) > limit-t.ledger.Now.Output {
			t.ledger.Now.Exceeded = true
			p = p[:limit-t.ledger.Now.Output]
		}
		k, err := out.Write(p)
		k = max(min(k, len(p)), 0)
		n += k
		t.ledger.Now.Output += int64(k)
		if (err != nil || t.ledger.Now.Exceeded) && n == 0 {
			return 0, abi.EIO
		}
		if err != nil || full || t.ledger.Now.Exceeded {
			break
		}
	}
	return n, 0
}

func (s *stream) ready(t *Table, _ *openFile) uint32 {
	switch {
	case s.number == 1 && room(t.o.Stdout) == 0:
		return 0
	case s.number != 0:
		return abi.POLLOUT | abi.POLLWRNORM
	case s.now.buffer.Len() > 0:
		return abi.POLLIN | abi.POLLRDNORM
	case s.now.ended:
		return abi.POLLHUP
	}
	t.starved = true
	return 0
}

func (s *stream) edges(*Table, *openFile) (in, out uint64) {
	if s.number == 0 {
		return s.now.edge, 0
	}
	return 0, s.now.edge
}

// stat says that it's a pipe: programs look whether they can seek, or talk to a terminal, and buffer accordingly.
func (s *stream) stat(_ *Table, _ *openFile, st *abi.Stat) {
	*st = abi.Stat{Dev: devPipes, Ino: uint64(s.number) + 1, Nlink: 1, Mode: abi.S_IFIFO | 0o600, Blksize: pageSize}
}

func (s *stream) closed(*Table, *openFile) {}
