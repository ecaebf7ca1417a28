package stage

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
)

// keeper keeps what is read of a body, so that it can be read again. Whoever reads it bounds how much that is, and may still do so when the program has
// begun to answer.
type keeper struct {
	body io.ReadCloser
	past atomic.Bool // nobody will ask for it again

	mu     sync.Mutex // protects what follows, and reads of body
	kept   bytes.Buffer
	sealed bool // it is somebody else's to read
}

// Read implements io.Reader.
func (k *keeper) Read(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.sealed {
		return 0, io.ErrClosedPipe
	}
	n, err := k.body.Read(p)
	if k.past.Load() {
		k.kept = bytes.Buffer{}
	} else {
		k.kept.Write(p[:n])
	}
	return n, err
}

// Close leaves the body open: again may want the rest.
func (k *keeper) Close() error { return nil }

// again is the body from its beginning. Who has read it so far gets no more.
func (k *keeper) again() io.ReadCloser {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sealed = true
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(&k.kept, k.body), k.body}
}

// until is an answer's body, with that of the origin open as long as it is: the program may answer while it reads.
type until struct {
	io.ReadCloser
	origin io.Closer
}

// Close implements io.Closer.
func (u until) Close() error {
	err := u.ReadCloser.Close()
	_ = u.origin.Close() // what is left of it is of no use
	return err
}
