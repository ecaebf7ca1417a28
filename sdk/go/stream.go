package wherry

import (
	"bytes"
	"io"
	"os"
)

const (
	pieceMax  = 256 << 10 // how much of a response is kept before it is sent
	inputSize = 64 << 10  // how much of a request is read at once
)

// stream is what the program says and hears. What it says waits for its next Read, to go with it.
type stream struct {
	out, log     bytes.Buffer
	stdin        io.Reader // nil: by exchange
	stdout, logs io.Writer
}

var standard = func() *stream {
	if _, err := exchange(nil, nil, nil); err == nil { // it is there
		return &stream{}
	}
	return &stream{stdin: os.Stdin, stdout: os.Stdout, logs: os.Stderr}
}()

// Log takes lines for the program's log, which is standard error. They go with the response.
var Log io.Writer = &standard.log

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.swap(p)
	if n == 0 && err == nil && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

// flush sends what waits.
func (s *stream) flush() error {
	_, err := s.swap(nil)
	return err
}

func (s *stream) swap(in []byte) (n int, err error) {
	out, log := s.out.Bytes(), s.log.Bytes()
	s.out.Reset()
	s.log.Reset()
	switch {
	case len(out)+len(log)+len(in) == 0:
		return 0, nil
	case s.stdin == nil:
		return exchange(out, in, log)
	}
	if len(log) > 0 {
		_, _ = s.logs.Write(log) // there is nowhere to say that it failed
	}
	if len(out) > 0 {
		_, err = s.stdout.Write(out)
	}
	if err == nil && len(in) > 0 {
		n, err = s.stdin.Read(in)
	}
	return n, err
}
