package wire

import (
	"errors"
	"time"
)

// Params is what the two sides tell each other in the handshake: pairs of a number and a value, each a wire integer but the token. Unknown
// numbers are skipped.
type Params struct {
	Data    uint64        // bytes of all streams that the peer may send at first
	Stream  uint64        // and of each
	Streams uint64        // how many it may open at first
	Idle    time.Duration // after which the sender forgets the connection
	Paths   uint64        // how many the sender can hold
	Size    uint64        // of the largest packet that the sender takes
	Level   uint64        // of frames that the sender knows
	Token   [16]byte      // that a reset of the sender's carries
}

const (
	paramData = iota + 1
	paramStream
	paramStreams
	paramIdle
	paramPaths
	paramSize
	paramToken
	paramLevel
)

// Levels of frames: from which on path state, and repair, are known.
const (
	LevelPaths  = 1
	LevelRepair = 2
)

// PacketMin is how many bytes of UDP payload every path must carry (RFC 9000 §14).
const PacketMin = 1200

var errParams = errors.New("the peer's parameters are malformed")

// Append writes them.
func (p *Params) Append(b []byte) []byte {
	for id, v := range map[uint64]uint64{
		paramData: p.Data, paramStream: p.Stream, paramStreams: p.Streams,
		paramIdle: uint64(p.Idle.Milliseconds()), paramPaths: p.Paths, paramSize: p.Size, paramLevel: p.Level,
	} {
		b = AppendInt(b, id)
		b = AppendInt(b, uint64(IntSize(v)))
		b = AppendInt(b, v)
	}
	b = AppendInt(b, paramToken)
	b = AppendInt(b, uint64(len(p.Token)))
	return append(b, p.Token[:]...)
}

// ParseParams reads what Append wrote.
func ParseParams(b []byte) (p Params, err error) {
	for len(b) > 0 {
		id, n := ParseInt(b)
		if n == 0 {
			return p, errParams
		}
		b = b[n:]
		size, n := ParseInt(b)
		if n == 0 || size > uint64(len(b)-n) {
			return p, errParams
		}
		value := b[n : n+int(size)]
		b = b[n+int(size):]
		v, n := ParseInt(value)
		if id != paramToken && n != len(value) {
			return p, errParams
		}
		switch id {
		case paramData:
			p.Data = v
		case paramStream:
			p.Stream = v
		case paramStreams:
			p.Streams = v
		case paramIdle:
			p.Idle = time.Duration(min(v, 1<<40)) * time.Millisecond
		case paramPaths:
			p.Paths = v
		case paramSize:
			p.Size = v
		case paramLevel:
			p.Level = v
		case paramToken:
			if len(value) != len(p.Token) {
				return p, errParams
			}
			p.Token = [16]byte(value)
		}
	}
	if p.Size < PacketMin || p.Paths == 0 {
		return p, errParams
	}
	return p, nil
}
