package disk

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

const sinkBytes = 256 << 10

var errBodyLength = errors.New("the body has another length than was said")

// sink takes the body of a record, and writes it behind the place that is kept free for the rest. A record that fits the buffer is
// written at once, others in pieces, the header last.
type sink struct {
	write func(p []byte, off int64) error
	buf   []byte
	at    int64 // place of buf in the file
	free  int64 // begin of buf that is kept for what stands before the body
	left  int64 // of the body
	table []byte
	crc   uint32
	block int // bytes in the current block
	err   error
}

// start prepares for a record at off.
func (k *sink) start(off int64, r *record) {
	if cap(k.buf) == 0 {
		k.buf = make([]byte, 0, sinkBytes)
	}
	k.left, k.crc, k.block, k.err = int64(r.body), 0, 0, nil
	k.table = make([]byte, 0, 4*blocksOf(k.left))
	if r.len() <= int64(cap(k.buf)) {
		k.at, k.free = off, r.metaLen()
	} else {
		k.at, k.free = off+r.metaLen(), 0
	}
	k.buf = k.buf[:k.free]
}

func (k *sink) Write(p []byte) (int, error) {
	if k.err != nil {
		return 0, k.err
	}
	if int64(len(p)) > k.left {
		return 0, errBodyLength
	}
	written := 0
	for len(p) > 0 {
		n := min(len(p), blockBytes-k.block, cap(k.buf)-len(k.buf))
		k.buf = append(k.buf, p[:n]...)
		k.crc = crc32.Update(k.crc, castagnoli, p[:n])
		k.left -= int64(n)
		if k.block += n; k.block == blockBytes || k.left == 0 {
			k.table = binary.LittleEndian.AppendUint32(k.table, k.crc)
			k.crc, k.block = 0, 0
		}
		p, written = p[n:], written+n
		if len(k.buf) == cap(k.buf) && k.free == 0 {
			if k.err = k.flush(); k.err != nil {
				return written, k.err
			}
		}
	}
	return written, nil
}

func (k *sink) flush() error {
	err := k.write(k.buf, k.at)
	k.at += int64(len(k.buf))
	k.buf = k.buf[:0]
	return err
}

// finish writes the rest, meta last. It is as long as the room before the body, up to the table.
func (k *sink) finish(off int64, r *record, meta []byte, nonce uint64) error {
	copy(meta[r.tableAt():], k.table)
	r.seal(meta, nonce)
	pad := align(int64(r.body), 8) - int64(r.body)
	if k.free > 0 {
		copy(k.buf, meta)
		k.buf = append(k.buf, make([]byte, pad)...)
		return k.flush()
	}
	if pad > 0 || len(k.buf) > 0 {
		k.buf = append(k.buf, make([]byte, pad)...)
		if err := k.flush(); err != nil {
			return err
		}
	}
	return k.write(meta, off)
}
