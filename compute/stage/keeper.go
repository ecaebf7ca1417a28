package stage

import (
	"bytes"
	"io"
)

// keeper keeps what is read of a body, so that it can be read again. Whoever reads it bounds how much that is.
type keeper struct {
	io.ReadCloser
	read bytes.Buffer
}

func (k *keeper) Read(p []byte) (int, error) {
	n, err := k.ReadCloser.Read(p)
	k.read.Write(p[:n])
	return n, err
}

// Close leaves the body open: again may want the rest.
func (k *keeper) Close() error { return nil }

// again is the body from its beginning.
func (k *keeper) again() io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(&k.read, k.ReadCloser), k.ReadCloser}
}
