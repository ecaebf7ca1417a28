package wherry

import (
	"io"
	"os"
)

const (
	// pieceMax is how much of a response or of log lines is kept before it is sent.
	pieceMax = 256 << 10
	// inputSize is how much of a request is read at once.
	inputSize = 64 << 10
)

// stream is what the program says and hears. What it says waits for its next Read, to go with it.
type stream struct {
	out, log []byte
	plain    bool // by standard input and output
}

var standard = func() *stream {
	_, err := exchange(nil, nil, nil) // does nothing, if it is there
	return &stream{plain: err != nil}
}()

// Log takes lines for the program's log, which is standard error. They go with the response, or before it if they are many.
var Log io.Writer = logWriter{}

type logWriter struct{}

func (logWriter) Write(p []byte) (int, error) {
	s := standard
	s.log = append(s.log, p...)
	if len(s.log) > pieceMax {
		return len(p), s.flush()
	}
	return len(p), nil
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, s.flush()
	}
	n, err := s.swap(p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// flush sends what waits.
func (s *stream) flush() error {
	if len(s.out)+len(s.log) == 0 {
		return nil
	}
	_, err := s.swap(nil)
	return err
}

func (s *stream) swap(in []byte) (n int, err error) {
	out, log := s.out, s.log
	s.out, s.log = s.out[:0], s.log[:0]
	if !s.plain {
		return exchange(out, in, log)
	}
	if len(log) > 0 {
		_, _ = os.Stderr.Write(log) // there is nowhere to say that it failed
	}
	if len(out) > 0 {
		_, err = os.Stdout.Write(out)
	}
	if err == nil && len(in) > 0 {
		n, err = os.Stdin.Read(in)
	}
	return n, err
}
