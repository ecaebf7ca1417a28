package gate

import (
	"errors"
	"math"
	"strconv"
)

// chunkLineMax is how long the line before a chunk may be (RFC 9112 §7.1.1: a limit on extensions).
const chunkLineMax = 4 << 10

// trailersMax is how many bytes of fields may follow the last chunk.
const trailersMax = 8 << 10

// errChunks is content whose chunks can't be told apart.
var errChunks = errors.New("the chunks of the request's content are malformed")

// framing finds where content ends (RFC 9112 §6).
type framing struct {
	chunked bool
	remain  int64 // of the content, or of the chunk
	part    chunkPart
	line    int // bytes of this line, of all lines of the trailer section
	digits  int
	extends bool // behind the size, or behind the name of a trailer field
}

// chunkPart is what of a chunk comes next.
type chunkPart uint8

const (
	chunkSize     chunkPart = iota // and its extensions
	chunkSizeLF                    // after the CR
	chunkData                      // remain bytes
	chunkEndCR                     // after the data
	chunkEndLF                     //
	trailerStart                   // of a line
	trailerLine                    // the rest of it
	trailerLineLF                  //
	trailerEndLF                   // the last byte
)

func (f *framing) has() bool { return f.chunked || f.remain > 0 }

// follow returns how much of p belongs to the content, and whether that ends there.
func (f *framing) follow(p []byte) (used int, ended bool, err error) {
	for used < len(p) {
		if !f.chunked || f.part == chunkData {
			n := min(f.remain, int64(len(p)-used))
			used += int(n)
			f.remain -= n
			if f.remain > 0 {
				continue
			}
			if !f.chunked {
				return used, true, nil
			}
			f.part = chunkEndCR
			continue
		}
		if !f.step(p[used]) {
			return used, false, errChunks
		}
		if used++; f.part == trailerEndLF+1 {
			return used, true, nil
		}
	}
	return used, false, nil
}

// step takes one byte of what is between the data of chunks (RFC 9112 §7.1). After the last one, part is past trailerEndLF.
func (f *framing) step(b byte) (ok bool) {
	f.line++
	switch f.part {
	case chunkSize:
		return f.line <= chunkLineMax && f.stepSize(b)
	case chunkSizeLF:
		f.part = chunkData
		if f.remain == 0 {
			f.part = trailerStart
		}
		f.line, f.digits, f.extends = 0, 0, false
	case chunkEndCR:
		f.part = chunkEndLF
		return b == '\r'
	case chunkEndLF:
		f.part, f.line = chunkSize, 0
	case trailerStart:
		f.extends = false
		if b == '\r' {
			f.part = trailerEndLF
			return true
		}
		f.part = trailerLine
		return class[b]&inName != 0
	case trailerLine:
		return f.line <= trailersMax && f.stepTrailer(b)
	case trailerLineLF:
		f.part = trailerStart
	case trailerEndLF:
		f.part++
	}
	return b == '\n'
}

// stepSize takes a byte of chunk-size [ chunk-ext ] CR.
func (f *framing) stepSize(b byte) bool {
	switch {
	case b == '\r':
		f.part = chunkSizeLF
		return f.digits > 0
	case f.extends:
		return b == '\t' || b >= ' ' && b != 0x7f
	case class[b]&isHex == 0:
		f.extends = true
		return f.digits > 0 && (b == ';' || b == ' ' || b == '\t')
	}
	f.digits++
	digit, _ := strconv.ParseUint(string(rune(b)), 16, 8)
	if f.remain > math.MaxInt64>>4 {
		return false
	}
	f.remain = f.remain<<4 | int64(digit)
	return f.digits <= 16
}

// stepTrailer takes a byte of field-name ":" field-value CR.
func (f *framing) stepTrailer(b byte) bool {
	switch {
	case f.extends && b == '\r':
		f.part = trailerLineLF
		return true
	case f.extends:
		return b == '\t' || b >= ' ' && b != 0x7f
	case b == ':':
		f.extends = true
		return true
	}
	return class[b]&inName != 0
}
