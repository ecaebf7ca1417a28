package h2

import "encoding/binary"

// A frame (RFC 9113 §4.1):
//
//	0        3      4       5                9
//	| length | type | flags | 0, stream id    | payload
const frameHeaderBytes = 9

const (
	frameData         = 0x0
	frameHeaders      = 0x1
	framePriority     = 0x2
	frameReset        = 0x3
	frameSettings     = 0x4
	framePush         = 0x5
	framePing         = 0x6
	frameGoAway       = 0x7
	frameWindowUpdate = 0x8
	frameContinuation = 0x9
)

const (
	flagEndStream  = 0x1 // of DATA and HEADERS
	flagAck        = 0x1 // of SETTINGS and PING
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

const (
	settingTableSize     = 0x1
	settingPush          = 0x2
	settingStreams       = 0x3
	settingWindow        = 0x4
	settingFrameSize     = 0x5
	settingHeaderList    = 0x6
	settingNoPriorities  = 0x9 // RFC 9218 §2.1
	settingBytes         = 6
	defaultTableSize     = 4096  // RFC 9113 §6.5.2
	defaultWindow        = 65535 // RFC 9113 §6.9.2
	windowMax            = 1<<31 - 1
	frameSizeMax         = 16384 // what each side has to take, and the most that we take: RFC 9113 §4.2
	frameSizeCeiling     = 1<<24 - 1
	preface              = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	lastStreamMax        = 1<<31 - 1
	recordPlainBytes     = 16384                               // of a TLS record (RFC 8446 §5.1)
	dataBytes            = recordPlainBytes - frameHeaderBytes // a DATA frame fills one
	tableSizeUpdateBytes = 1
)

// code is an error code (RFC 9113 §7).
type code uint32

const (
	codeNone          code = 0x0
	codeProtocol      code = 0x1
	codeInternal      code = 0x2
	codeFlowControl   code = 0x3
	codeStreamClosed  code = 0x5
	codeFrameSize     code = 0x6
	codeRefused       code = 0x7
	codeCancel        code = 0x8
	codeCompression   code = 0x9
	codeEnhanceCalm   code = 0xb
	codeHTTP11Demands code = 0xd
)

// frame is one that was received. Its payload is a view of the connection's buffer.
type frame struct {
	kind, flags byte
	stream      uint32
	payload     []byte
}

func (f *frame) has(flag byte) bool { return f.flags&flag != 0 }

// parseFrame reads the frame at the beginning of p and says how long it is; size is 0 if it isn't whole yet. What is beyond
// frameSizeMax is for the caller to refuse: length says how much was announced.
func parseFrame(p []byte) (f frame, size, length int) {
	if len(p) < frameHeaderBytes {
		return f, 0, 0
	}
	length = int(p[0])<<16 | int(p[1])<<8 | int(p[2])
	f.kind, f.flags = p[3], p[4]
	f.stream = binary.BigEndian.Uint32(p[5:]) & lastStreamMax // §4.1: the reserved bit is ignored
	if length > frameSizeMax || len(p)-frameHeaderBytes < length {
		return f, 0, length
	}
	f.payload = p[frameHeaderBytes : frameHeaderBytes+length]
	return f, frameHeaderBytes + length, length
}

// unpad takes the padding off the payload (RFC 9113 §6.1).
func (f *frame) unpad() bool {
	if !f.has(flagPadded) {
		return true
	}
	if len(f.payload) < 1 {
		return false
	}
	padding := int(f.payload[0])
	if padding > len(f.payload)-1 {
		return false
	}
	f.payload = f.payload[1 : len(f.payload)-padding]
	return true
}

func appendFrameHeader(dst []byte, length int, kind, flags byte, stream uint32) []byte {
	return append(dst, byte(length>>16), byte(length>>8), byte(length), kind, flags,
		byte(stream>>24), byte(stream>>16), byte(stream>>8), byte(stream))
}

// putFrameHeader writes the header of a frame whose payload is in place already.
func putFrameHeader(p []byte, length int, kind, flags byte, stream uint32) {
	appendFrameHeader(p[:0], length, kind, flags, stream)
}

func appendWord(dst []byte, kind byte, stream, word uint32) []byte {
	return binary.BigEndian.AppendUint32(appendFrameHeader(dst, 4, kind, 0, stream), word)
}

func appendReset(dst []byte, stream uint32, why code) []byte {
	return appendWord(dst, frameReset, stream, uint32(why))
}

func appendWindowUpdate(dst []byte, stream, increment uint32) []byte {
	return appendWord(dst, frameWindowUpdate, stream, increment)
}

func appendGoAway(dst []byte, last uint32, why code) []byte {
	dst = appendFrameHeader(dst, 8, frameGoAway, 0, 0)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(dst, last), uint32(why))
}

func appendPing(dst []byte, flags byte, data []byte) []byte {
	return append(appendFrameHeader(dst, 8, framePing, flags, 0), data...)
}

type setting struct {
	id    uint16
	value uint32
}

func appendSettings(dst []byte, settings ...setting) []byte {
	dst = appendFrameHeader(dst, settingBytes*len(settings), frameSettings, 0, 0)
	for _, s := range settings {
		dst = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(dst, s.id), s.value)
	}
	return dst
}

// closeHeaders writes the frame headers of a header block that stands in dst from begin on, with room for one frame header before it.
// A block that needs several frames is taken apart (RFC 9113 §6.10).
func closeHeaders(dst []byte, begin int, stream uint32, flags byte) []byte {
	block := len(dst) - begin - frameHeaderBytes
	if block <= frameSizeMax {
		putFrameHeader(dst[begin:], block, frameHeaders, flags|flagEndHeaders, stream)
		return dst
	}
	rest := append([]byte(nil), dst[begin+frameHeaderBytes+frameSizeMax:]...)
	dst = dst[:begin+frameHeaderBytes+frameSizeMax]
	putFrameHeader(dst[begin:], frameSizeMax, frameHeaders, flags, stream)
	for len(rest) > 0 {
		n, last := min(len(rest), frameSizeMax), byte(0)
		if n == len(rest) {
			last = flagEndHeaders
		}
		dst = append(appendFrameHeader(dst, n, frameContinuation, last, stream), rest[:n]...)
		rest = rest[n:]
	}
	return dst
}
