package store

import (
	"errors"
	"io"
	"os"
	"time"
)

// Store keeps responses. All of its methods may be called by many goroutines at once. What it returns is shared: nobody
// changes it. Chamber storetest has the contract as tests that every store passes.
type Store interface {
	// Lookup returns the responses under key, the newest first; nil if there are none. It keeps nothing of key, whose bytes may
	// change afterwards.
	Lookup(key Key) []*Response
	// Peek returns what of that is at hand without waiting for a disk, and doesn't count as a use of it.
	Peek(key Key) []*Response
	// Insert adds r under its key, in the place of responses for the same request fields (RFC 9111 §4.1), unless one of those was
	// received later than r: then r is dropped. The store owns r.Body from now on, and may drop r at any time to make room.
	Insert(r *Response)
	// Replace puts r in the place of old, with old's body. It does nothing if old isn't there any more.
	Replace(old, r *Response)
	// Remove drops all responses under key and returns how many there were.
	Remove(key Key) int
	// RemoveFunc drops all responses whose key matches and returns how many there were. It may call match more than once for a key.
	RemoveFunc(match func(Key) bool) int
	// NewBody returns an empty body for the content of a response; size is the expected number of bytes, -1 if unknown.
	NewBody(size int64) Body
	// Usage tells what the store holds.
	Usage() Usage
}

// Body is the content of one response. One goroutine appends to it; any number read what has been appended.
type Body interface {
	// Append adds a copy of p at the end, or of its first n bytes with ErrTooLarge or ErrFull. Then what is there can still be
	// read, but the body can't be stored.
	Append(p []byte) (n int, err error)
	// WriteRange writes the n bytes from offset off to w; they must have been appended. After an error that isn't w's the store doesn't
	// return the response any more, so that who looks it up again finds it missing.
	WriteRange(w io.Writer, off, n int64) (int64, error)
	// Len returns how many bytes have been appended.
	Len() int64
	// Discard gives back the room of a body that won't be stored. Readers may go on.
	Discard()
}

// Usage is what a store holds, in bytes and responses.
type Usage struct {
	Responses     int64
	Bytes         int64
	BytesMax      int64
	Evictions     int64
	ResponseBytes int64      // the largest body that can be stored
	Disk          *DiskUsage // what is on disk, some of which is in memory, too; nil if nothing ever is
}

// DiskUsage is what the tier on disk holds.
type DiskUsage struct {
	Responses int64
	Bytes     int64
	BytesMax  int64
	Evictions int64
	Queued    int64 // bytes that wait to be written
	Volumes   []VolumeUsage
}

// VolumeUsage is what one disk holds and how it does.
type VolumeUsage struct {
	Dir       string
	State     string // ok, slow, failing or full
	Since     time.Time
	LastError string // the last one, also if the state is ok again
	Responses int64
	Bytes     int64
	BytesMax  int64
}

// Copy is a response in a tier below the store that returned it, which knows more of it.
type Copy interface {
	// Live says whether that tier would still return it.
	Live() bool
}

// Errors of Body.Append.
var (
	ErrTooLarge = errors.New("body larger than a stored response may be")
	ErrFull     = errors.New("no room left in the store")
)

// FileBody is a Body that stands in a file, so that the system can send it without copying it through this process.
type FileBody interface {
	Body
	// File returns the file and the offset in it at which the content begins. The file is shared: nobody closes it or moves its
	// offset. ok is false as long as not all of the content is known to be as it was written, and for content that isn't in one file;
	// then WriteRange is the way. release must be called when the file isn't needed any more.
	File() (f *os.File, off int64, release func(), ok bool)
}

// SharedBody is a Body in memory that others may read without copying it.
type SharedBody interface {
	Body
	// AppendPieces appends the content, piece by piece. It must be complete.
	AppendPieces(dst [][]byte) [][]byte
}
