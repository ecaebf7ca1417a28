package feed

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// A record is how something signed lies in a file:
//
//	0   length of the content, big endian
//	4   CRC-32C of signature and content, big endian
//	8   signature
//	72  content
const recordHead = 8 + 64

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(signature, content []byte) uint32 {
	return crc32.Update(crc32.Checksum(signature, castagnoli), castagnoli, content)
}

func appendRecord(b, signature, content []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(content)))
	b = binary.BigEndian.AppendUint32(b, sum(signature, content))
	return append(append(b, signature...), content...)
}

// errRecord is of bytes that aren't a record; errTorn of a record that isn't whole.
var (
	errRecord = errors.New("the bytes aren't what was written")
	errTorn   = errors.New("it was written in part")
)

// cutRecord takes the record at the front of data, and returns what is behind it.
func cutRecord(data []byte, limit int) (signature, content, rest []byte, err error) {
	if len(data) < recordHead {
		return nil, nil, nil, errTorn
	}
	size := int(binary.BigEndian.Uint32(data))
	switch {
	case size > limit:
		return nil, nil, nil, errRecord
	case size > len(data)-recordHead:
		return nil, nil, nil, errTorn
	}
	end := recordHead + size
	signature, content = data[8:recordHead:recordHead], data[recordHead:end:end]
	if binary.BigEndian.Uint32(data[4:]) != sum(signature, content) {
		return nil, nil, nil, errRecord
	}
	return signature, content, data[end:], nil
}

// scanRecords reads records until there are no more (nil), take has had enough (its error), or what comes isn't one (errTorn,
// errRecord). It returns how many bytes were good. What take is given is its own.
func scanRecords(r io.Reader, limit int, take func(s Signed, at, size int64) error) (good int64, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	var head [recordHead]byte
	for {
		switch _, err := io.ReadFull(in, head[:]); {
		case errors.Is(err, io.EOF):
			return good, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return good, errTorn
		case err != nil:
			return good, err
		}
		size := int(binary.BigEndian.Uint32(head[:]))
		if size > limit {
			return good, errRecord
		}
		data := make([]byte, recordHead+size)
		copy(data, head[:])
		switch _, err := io.ReadFull(in, data[recordHead:]); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return good, errTorn
		case err != nil:
			return good, err
		}
		signature, content, _, err := cutRecord(data, limit)
		if err != nil {
			if _, more := in.Peek(1); more != nil {
				err = errTorn // the last one: its bytes hadn't all reached the disk
			}
			return good, err
		}
		if err := take(Signed{content, signature}, good, int64(len(data))); err != nil {
			return good, err
		}
		good += int64(len(data))
	}
}
