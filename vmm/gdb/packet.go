package gdb

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// packetMax bounds a packet's contents, both ways. gdb is told.
const packetMax = 0x10000

// interrupt is what gdb sends, beside all packets, to stop the program.
const interrupt = 0x03

var (
	errTooLong  = errors.New("a packet is too long")
	errChecksum = errors.New("a packet's checksum is wrong")
)

// readPacket returns the next packet's contents, or interrupt alone. errChecksum asks for the packet again. Acknowledgements are skipped.
//
//	$ contents # checksum, two hex digits        } before an escaped byte, which is XORed with 0x20
func readPacket(r *bufio.Reader) ([]byte, error) {
	for {
		c, err := r.ReadByte()
		switch {
		case err != nil:
			return nil, err
		case c == interrupt:
			return []byte{interrupt}, nil
		case c == '$':
			return readContents(r)
		}
	}
}

func readContents(r *bufio.Reader) ([]byte, error) {
	var out []byte
	sum := byte(0)
	for {
		c, err := r.ReadByte()
		if err != nil {
			return nil, unexpected(err)
		}
		if c == '#' {
			break
		}
		sum += c
		if c == '}' {
			if c, err = r.ReadByte(); err != nil {
				return nil, unexpected(err)
			}
			sum += c
			c ^= 0x20
		}
		if len(out) == packetMax {
			return nil, errTooLong
		}
		out = append(out, c)
	}
	var digits [2]byte
	if _, err := io.ReadFull(r, digits[:]); err != nil {
		return nil, unexpected(err)
	}
	if n, err := strconv.ParseUint(string(digits[:]), 16, 8); err != nil || byte(n) != sum {
		return nil, errChecksum
	}
	return out, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendPacket appends a packet with contents to b.
func appendPacket(b, contents []byte) []byte {
	b = append(b, '$')
	sum := byte(0)
	for _, c := range contents {
		if c == '$' || c == '#' || c == '}' || c == '*' {
			b = append(b, '}')
			sum += '}'
			c ^= 0x20
		}
		b = append(b, c)
		sum += c
	}
	return fmt.Appendf(b, "#%02x", sum)
}
