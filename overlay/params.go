package overlay

import (
	"errors"
	"time"

	"github.com/wherry/wherry/overlay/wire"
)

// params is what the two sides tell each other in the handshake: pairs of a number and a value, each a wire integer but the token. Unknown
// numbers are skipped.
type params struct {
	data    uint64        // bytes of all streams that the peer may send at first
	stream  uint64        // and of each
	streams uint64        // how many it may open at first
	idle    time.Duration // after which the sender forgets the connection
	paths   uint64        // how many the sender can hold
	size    uint64        // of the largest packet that the sender takes
	level   uint64        // of frames that the sender knows
	token   [16]byte      // that a reset of the sender's carries
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
	levelPaths  = 1
	levelRepair = 2
)

var errParams = errors.New("the peer's parameters are malformed")

func (p *params) append(b []byte) []byte {
	for id, v := range map[uint64]uint64{
		paramData: p.data, paramStream: p.stream, paramStreams: p.streams,
		paramIdle: uint64(p.idle.Milliseconds()), paramPaths: p.paths, paramSize: p.size, paramLevel: p.level,
	} {
		b = wire.AppendInt(b, id)
		b = wire.AppendInt(b, uint64(wire.IntSize(v)))
		b = wire.AppendInt(b, v)
	}
	b = wire.AppendInt(b, paramToken)
	b = wire.AppendInt(b, uint64(len(p.token)))
	return append(b, p.token[:]...)
}

func parseParams(b []byte) (p params, err error) {
	for len(b) > 0 {
		id, n := wire.ParseInt(b)
		if n == 0 {
			return p, errParams
		}
		b = b[n:]
		size, n := wire.ParseInt(b)
		if n == 0 || size > uint64(len(b)-n) {
			return p, errParams
		}
		value := b[n : n+int(size)]
		b = b[n+int(size):]
		v, n := wire.ParseInt(value)
		if id != paramToken && n != len(value) {
			return p, errParams
		}
		switch id {
		case paramData:
			p.data = v
		case paramStream:
			p.stream = v
		case paramStreams:
			p.streams = v
		case paramIdle:
			p.idle = time.Duration(min(v, 1<<40)) * time.Millisecond
		case paramPaths:
			p.paths = v
		case paramSize:
			p.size = v
		case paramLevel:
			p.level = v
		case paramToken:
			if len(value) != len(p.token) {
				return p, errParams
			}
			p.token = [16]byte(value)
		}
	}
	if p.size < packetMin || p.paths == 0 {
		return p, errParams
	}
	return p, nil
}
