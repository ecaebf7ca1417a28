package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Session is a connection to another node, with streams.
type Session interface {
	// OpenStream waits for room if the peer allows no more streams.
	OpenStream(ctx context.Context) (Stream, error)
	AcceptStream(ctx context.Context) (Stream, error)
	// Done is closed when the connection is gone.
	Done() <-chan struct{}
	// Peer is the verified name of the other side.
	Peer() string
}

// Stream is bytes in order, both ways.
type Stream interface {
	io.Reader
	io.Writer
	// CloseWrite ends what is sent; the peer reads io.EOF behind it.
	CloseWrite() error
	// Reset ends both directions at once. The peer's calls fail with an error that has a method ResetCode() uint64.
	Reset(code uint64)
	SetReadDeadline(at time.Time) error
	SetWriteDeadline(at time.Time) error
	// SetPriority is the urgency of what is sent, 0 to 7 (RFC 9218 §4.1); 3 if it isn't called.
	SetPriority(urgency int)
	// Close is CloseWrite, and no more is read: the peer's writes may fail.
	Close() error
}

// resetWatcher is what a Stream may have to say at once that the peer has reset it, or that the session is gone. Without it,
// that is noticed when the stream is next used. f is called at most once and must not block.
type resetWatcher interface {
	OnReset(f func())
}

// earlySession is what a Session may have for requests that may arrive twice: streams on a connection whose handshake isn't done.
type earlySession interface {
	OpenEarly(ctx context.Context) (Stream, error)
}

// Code tells why a stream was reset.
type Code uint64

// The codes.
const (
	CodeNone      Code = 0
	CodeCancelled Code = 1 // who asked doesn't want the answer any more
	CodeRefused   Code = 2 // the request wasn't acted on and may go elsewhere
	CodeMalformed Code = 3 // what came isn't what doc.go draws, or no HTTP
	CodeInternal  Code = 4 // who answers failed and can't complete the response
	CodeTooLarge  Code = 5 // a section was too large
	CodeTimeout   Code = 6 // a header section took too long
	CodeStale     Code = 7 // a section refers to lines of the dictionary that are gone; a request wasn't acted on
)

// String returns the code in words that end a sentence which begins with the peer's name.
func (c Code) String() string {
	switch c {
	case CodeNone:
		return "broke off"
	case CodeCancelled:
		return "left"
	case CodeRefused:
		return "takes no more requests; ask another node or later"
	case CodeMalformed:
		return "calls what was sent malformed; both nodes need the same release"
	case CodeInternal:
		return "failed while it answered"
	case CodeTooLarge:
		return "finds the header section too large"
	case CodeTimeout:
		return "has waited for the header section for too long"
	case CodeStale:
		return "doesn't have what the header section refers to any more; send it again"
	}
	return fmt.Sprintf("reset the stream with code %d", uint64(c))
}

// ResetCode returns the code with which the peer has reset the stream that err is of.
func ResetCode(err error) (Code, bool) {
	var reset interface{ ResetCode() uint64 }
	if errors.As(err, &reset) {
		return Code(reset.ResetCode()), true
	}
	return 0, false
}

// UnknownBytesMax bounds a frame of an unknown type, which is left out.
const UnknownBytesMax = 64 << 10

// interimMax bounds the interim responses of an exchange.
const interimMax = 32

// failure is why an exchange can't go on, and the code that tells the peer.
type failure struct {
	code  Code
	cause string
}

func (f *failure) Error() string { return f.cause }

func malformed(cause string) error { return &failure{CodeMalformed, cause} }
