package tree

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// Kind says what a frame holds.
type Kind byte

// The kinds. Of a log come a hello and then any of the others but reports; of reports come reports alone.
const (
	KindHello      Kind = 1 // a Hello in JSON
	KindCheckpoint Kind = 2 // signed bytes; the stream ends after it
	KindEntry      Kind = 3 // signed bytes
	KindObject     Kind = 4 // a hash and what it names
	KindBeat       Kind = 5 // a Beat in JSON
	KindReport     Kind = 6 // a feed.Report in JSON
)

// A frame is
//
//	0      1             5                  5+length
//	+------+-------------+------------------+
//	| kind | length, BE  | payload          |
//	+------+-------------+------------------+
//
// and the payload of what is signed
//
//	0                2                 2+n
//	+----------------+-----------------+---------+
//	| n, big-endian  | signature       | bytes   |
//	+----------------+-----------------+---------+
const frameHead = 5

const (
	objectRideMax = 64 << 10 // larger objects are asked for
	reportMax     = 1 << 20
	entryMax      = 1 << 20
	checkpointMax = 256 << 20
	signatureMax  = 1 << 10
)

// sizeMax bounds the payload of each kind; kinds that aren't here don't exist.
var sizeMax = [...]int{
	KindHello: 64 << 10, KindCheckpoint: checkpointMax, KindEntry: entryMax, KindObject: objectRideMax + len(feed.Hash{}),
	KindBeat: 16 << 10, KindReport: reportMax,
}

// Hello is how a parent stands in the tree.
type Hello struct {
	Node     config.NodeID `json:"node"`
	Children int           `json:"children"`
	Free     int           `json:"free"` // places for more
	Load     feed.Load     `json:"load"`
	Beat
}

// Beat is what a parent says every second.
type Beat struct {
	Position feed.Position   `json:"position"`
	Time     time.Time       `json:"time"`           // by the parent's clock, for people
	Path     []config.NodeID `json:"path"`           // the parent, its parent, and so on to the root
	AwayMS   int64           `json:"away_ms"`        // how long ago the parent heard from control; a root: 0
	Never    bool            `json:"never,omitzero"` // it hasn't since it started
}

// Frame is one frame of a log.
type Frame struct {
	Kind       Kind
	Beat       Beat            // of a beat
	Hash       feed.Hash       // of an object
	Object     []byte          // verified to be what Hash names
	Entry      feed.Signed     // not verified
	Checkpoint feed.Checkpoint // not verified
}

// errFrame is what a peer that keeps to the format can't cause.
var errFrame = errors.New("not a frame of the feed")

// readFrame reads one frame. A payload is read as it comes, so that a length alone allocates nothing.
func readFrame(r *bufio.Reader) (Kind, []byte, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	kind, size := Kind(head[0]), int(binary.BigEndian.Uint32(head[1:]))
	if int(kind) >= len(sizeMax) || sizeMax[kind] == 0 {
		return 0, nil, fmt.Errorf("%w: kind %d", errFrame, kind)
	}
	if size > sizeMax[kind] {
		return 0, nil, fmt.Errorf("%w: %d bytes for kind %d, at most %d", errFrame, size, kind, sizeMax[kind])
	}
	payload, err := readSized(r, size)
	return kind, payload, err
}

// readSized reads size bytes in steps that are never much more than what has come so far.
func readSized(r io.Reader, size int) ([]byte, error) {
	payload := make([]byte, 0, min(size, 64<<10))
	for len(payload) < size {
		if len(payload) == cap(payload) {
			grown := make([]byte, len(payload), min(size, 2*cap(payload)))
			copy(grown, payload)
			payload = grown
		}
		n, err := io.ReadFull(r, payload[len(payload):cap(payload)])
		payload = payload[:len(payload)+n]
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return payload, nil
}

// appendFrame appends a frame whose payload is the parts together.
func appendFrame(to []byte, kind Kind, parts ...[]byte) []byte {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	if size > sizeMax[kind] {
		panic(fmt.Sprintf("BUG: tree: a frame of kind %d with %d bytes", kind, size))
	}
	to = append(to, byte(kind))
	to = binary.BigEndian.AppendUint32(to, uint32(size))
	for _, p := range parts {
		to = append(to, p...)
	}
	return to
}

func appendSigned(to []byte, kind Kind, signature, signed []byte) []byte {
	return appendFrame(to, kind, binary.BigEndian.AppendUint16(nil, uint16(len(signature))), signature, signed)
}

func appendJSON(to []byte, kind Kind, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic("BUG: tree: " + err.Error()) // all that we send can be marshalled
	}
	return appendFrame(to, kind, text)
}

func cutSigned(payload []byte) (signed, signature []byte, err error) {
	if len(payload) < 2 {
		return nil, nil, fmt.Errorf("%w: no signature", errFrame)
	}
	n := int(binary.BigEndian.Uint16(payload))
	if n > signatureMax || n > len(payload)-2 {
		return nil, nil, fmt.Errorf("%w: a signature of %d bytes", errFrame, n)
	}
	return payload[2+n:], payload[2 : 2+n], nil
}

// parseFrame makes of a payload what a log may hold after its hello.
func parseFrame(kind Kind, payload []byte) (Frame, error) {
	f := Frame{Kind: kind}
	var err error
	switch kind {
	case KindEntry:
		f.Entry.Bytes, f.Entry.Signature, err = cutSigned(payload)
	case KindCheckpoint:
		f.Checkpoint.Bytes, f.Checkpoint.Signature, err = cutSigned(payload)
	case KindObject:
		if len(payload) < len(f.Hash) {
			return f, fmt.Errorf("%w: an object without its hash", errFrame)
		}
		f.Object = payload[copy(f.Hash[:], payload):]
		if feed.HashOf(f.Object) != f.Hash {
			return f, fmt.Errorf("%w: an object that isn't what its hash says", errForged)
		}
	case KindBeat:
		if err := json.Unmarshal(payload, &f.Beat); err != nil {
			return f, fmt.Errorf("%w: %w", errFrame, err)
		}
		err = checkPath(f.Beat.Path)
	default:
		err = fmt.Errorf("%w: kind %d where it can't be", errFrame, kind)
	}
	return f, err
}

// depthMax bounds paths; a tree of 32 children each is 4 deep with a million nodes.
const depthMax = 16

func checkPath(path []config.NodeID) error {
	if len(path) == 0 || len(path) > depthMax {
		return fmt.Errorf("%w: a path of %d nodes", errFrame, len(path))
	}
	for _, id := range path {
		if id == "" || len(id) > nameMax {
			return fmt.Errorf("%w: a path with the node %.70q", errFrame, id)
		}
	}
	return nil
}
