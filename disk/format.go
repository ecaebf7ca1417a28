package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// A segment file, all numbers little-endian, all records aligned to 8 bytes:
//
//	file header, 40 bytes
//	   0  8  "wherryds"
//	   8  4  version, 1
//	  12  4  zero
//	  16  8  number of the segment, also in its name
//	  24  8  nonce: random, another one in each segment
//	  32  4  zero
//	  36  4  CRC-32C of bytes 0–35
//
//	record, as many as fit
//	   0  8  the segment's nonce
//	   8  8  sequence number: the newest record of a key and variant wins, over all segments and volumes
//	  16  8  sequence number that the body had when it was first put; stays when it is copied or gets a newer head
//	  24  8  number of the record in its volume, without gaps over all segments
//	  32  1  type: 1 put, 2 head, 3 tombstone
//	  33  3  zero
//	  36  4  k, length of the key
//	  40  4  v, length of the variant
//	  44  4  h, length of the head
//	  48  4  b, length of the body
//	  52  4  CRC-32C of what lies between this header and the body
//	  56  4  zero
//	  60  4  CRC-32C of bytes 0–59
//	  64  k  key
//	      v  variant
//	      h  head; in a tombstone for each blob that it kills 8 hash of the key, 4 hash of the variant or 0 for all, 4 zero
//	         zeros up to a multiple of 4
//	      4  CRC-32C of each block of 64 KiB of the body, the last one may be shorter
//	         zeros up to a multiple of 8
//	      b  body
//	         zeros up to a multiple of 8
//
//	footer, in a sealed segment only
//	      48 for each record, and for each kill of a tombstone:
//	         0 8 hash of the key   8 4 hash of the variant   12 4 zero   16 8 sequence number   24 8 of the body, as above
//	         32 4 place of the record in the file   36 4 its length up to the body   40 4 length of the body   44 1 type   45 3 zero
//	      4+k for each put: length of the key, key
//	      trailer, the last 64 bytes of the file
//	   0  8  the segment's nonce, inverted
//	   8  8  number of the first record in the volume
//	  16  8  number of records
//	  24  8  place of the footer in the file
//	  32  8  number of 48-byte entries
//	  40  8  length of the keys
//	  48  4  CRC-32C of the entries
//	  52  4  CRC-32C of the keys
//	  56  4  zero
//	  60  4  CRC-32C of bytes 0–59
//
// A body is written before its header, so a header says that all of it is there. The nonce keeps apart what we wrote and what a
// client had us write: a body that looks like a record or like a trailer can't know it.
//
// Whoever changes this checks: version; recordHeader and parseRecord; footer and parseTrailer; the bounds in parseRecord that keep a
// scan from asking for more memory than the file has bytes; FuzzOpenSegment.
const (
	fileMagic   = "wherryds"
	fileVersion = 1

	fileHeaderBytes   = 40
	recordHeaderBytes = 64
	entryBytes        = 48
	trailerBytes      = 64
	killBytes         = 16
	blockBytes        = 64 << 10

	typePut       = 1
	typeHead      = 2
	typeTombstone = 3
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

func align(n, to int64) int64 { return (n + to - 1) / to * to }

// hashOf is the begin of SHA-256, so nobody can make up keys that fall together.
func hashOf(s string) uint64 {
	var short [256]byte
	sum := sha256.Sum256(append(short[:0], s...))
	return binary.LittleEndian.Uint64(sum[:])
}

// variantHash tells the variants of a key apart. Two with one hash push each other out, no more. 0 stands for all variants.
func variantHash(s string) uint32 { return max(1, uint32(hashOf(s))) }

var (
	errForeign = errors.New("not a segment of this version")
	errTorn    = errors.New("torn")
)

// fileHeader returns the header of a segment.
func fileHeader(id uint32, nonce uint64) []byte {
	p := make([]byte, fileHeaderBytes)
	copy(p, fileMagic)
	binary.LittleEndian.PutUint32(p[8:], fileVersion)
	binary.LittleEndian.PutUint64(p[16:], uint64(id))
	binary.LittleEndian.PutUint64(p[24:], nonce)
	binary.LittleEndian.PutUint32(p[36:], checksum(p[:36]))
	return p
}

func parseFileHeader(p []byte, id uint32) (nonce uint64, err error) {
	le := binary.LittleEndian
	if len(p) < fileHeaderBytes || string(p[:8]) != fileMagic || le.Uint32(p[8:]) != fileVersion ||
		le.Uint32(p[36:]) != checksum(p[:36]) || le.Uint64(p[16:]) != uint64(id) {
		return 0, errForeign
	}
	return le.Uint64(p[24:]), nil
}

// record is the header of a record.
type record struct {
	seq, born, number uint64
	kind              byte
	key, variant      int // lengths
	head, body        int
	metaCRC           uint32
}

func blocksOf(body int64) int64 { return (body + blockBytes - 1) / blockBytes }

// tableAt is where the table of block checksums begins, from the begin of the record.
func (r *record) tableAt() int64 {
	return recordHeaderBytes + align(int64(r.key)+int64(r.variant)+int64(r.head), 4)
}

// metaLen is the length up to the body.
func (r *record) metaLen() int64 { return align(r.tableAt()+4*blocksOf(int64(r.body)), 8) }

func (r *record) len() int64 { return r.metaLen() + align(int64(r.body), 8) }

// seal writes the header of r over the first bytes of meta, which holds all up to the body.
func (r *record) seal(meta []byte, nonce uint64) {
	le := binary.LittleEndian
	clear(meta[:recordHeaderBytes])
	le.PutUint64(meta, nonce)
	le.PutUint64(meta[8:], r.seq)
	le.PutUint64(meta[16:], r.born)
	le.PutUint64(meta[24:], r.number)
	meta[32] = r.kind
	le.PutUint32(meta[36:], uint32(r.key))
	le.PutUint32(meta[40:], uint32(r.variant))
	le.PutUint32(meta[44:], uint32(r.head))
	le.PutUint32(meta[48:], uint32(r.body))
	le.PutUint32(meta[52:], checksum(meta[recordHeaderBytes:]))
	le.PutUint32(meta[60:], checksum(meta[:60]))
}

// parseRecord reads the header of a record that may be room bytes long with its body.
func parseRecord(p []byte, nonce uint64, room int64) (record, error) {
	le := binary.LittleEndian
	if len(p) < recordHeaderBytes || le.Uint64(p) != nonce || le.Uint32(p[60:]) != checksum(p[:60]) {
		return record{}, errTorn
	}
	key, variant, head, body := le.Uint32(p[36:]), le.Uint32(p[40:]), le.Uint32(p[44:]), le.Uint32(p[48:])
	if key > KeyBytesMax || variant > KeyBytesMax || head > HeadBytesMax || int64(body) > room {
		return record{}, errTorn
	}
	r := record{
		seq: le.Uint64(p[8:]), born: le.Uint64(p[16:]), number: le.Uint64(p[24:]), kind: p[32],
		key: int(key), variant: int(variant), head: int(head), body: int(body), metaCRC: le.Uint32(p[52:]),
	}
	if r.kind < typePut || r.kind > typeTombstone || r.len() > room || r.kind != typePut && r.body > 0 ||
		r.kind == typeTombstone && r.head%killBytes != 0 {
		return record{}, errTorn
	}
	return r, nil
}

// checkMeta says whether meta, which is all of the record up to the body, is what was written.
func (r *record) checkMeta(meta []byte) bool { return checksum(meta[recordHeaderBytes:]) == r.metaCRC }

func (r *record) keyIn(meta []byte) []byte { return meta[recordHeaderBytes:][:r.key] }

func (r *record) variantIn(meta []byte) []byte { return meta[recordHeaderBytes+r.key:][:r.variant] }

func (r *record) headIn(meta []byte) []byte {
	return meta[recordHeaderBytes+r.key+r.variant:][:r.head:r.head]
}

func (r *record) tableIn(meta []byte) []byte {
	return meta[r.tableAt():][:4*blocksOf(int64(r.body))]
}

// kill is what a tombstone says of one blob, or of all variants of a key.
type kill struct {
	key     uint64
	variant uint32 // 0: all
}

func appendKill(p []byte, k kill) []byte {
	p = binary.LittleEndian.AppendUint64(p, k.key)
	return binary.LittleEndian.AppendUint64(p, uint64(k.variant))
}

func eachKill(payload []byte, yield func(kill)) {
	for ; len(payload) >= killBytes; payload = payload[killBytes:] {
		yield(kill{binary.LittleEndian.Uint64(payload), binary.LittleEndian.Uint32(payload[8:])})
	}
}

// item is what opening needs of a record: an entry of the footer.
type item struct {
	key, seq, born uint64
	variant        uint32
	off            uint32
	meta, body     uint32
	kind           byte
}

func (i *item) append(p []byte) []byte {
	le := binary.LittleEndian
	p = le.AppendUint64(p, i.key)
	p = le.AppendUint64(p, uint64(i.variant))
	p = le.AppendUint64(p, i.seq)
	p = le.AppendUint64(p, i.born)
	p = le.AppendUint32(p, i.off)
	p = le.AppendUint32(p, i.meta)
	p = le.AppendUint32(p, i.body)
	return append(p, i.kind, 0, 0, 0)
}

func parseItem(p []byte) item {
	le := binary.LittleEndian
	return item{
		key: le.Uint64(p), variant: le.Uint32(p[8:]), seq: le.Uint64(p[16:]), born: le.Uint64(p[24:]),
		off: le.Uint32(p[32:]), meta: le.Uint32(p[36:]), body: le.Uint32(p[40:]), kind: p[44],
	}
}

// within says whether the record of i lies between the file header and end.
func (i *item) within(end int64) bool {
	return i.off >= fileHeaderBytes && i.meta >= recordHeaderBytes && int64(i.off)+int64(i.meta)+int64(i.body) <= end &&
		i.kind >= typePut && i.kind <= typeTombstone
}

// trailer is the end of a sealed segment.
type trailer struct {
	firstNumber, records  uint64
	at, entries, keyBytes int64
	entriesCRC, keysCRC   uint32
}

func (t *trailer) keysAt() int64 { return t.at + t.entries*entryBytes }

// footer returns the footer of a segment whose records end at t.at.
func footer(t trailer, items []item, keys []byte, nonce uint64) []byte {
	le := binary.LittleEndian
	p := make([]byte, 0, len(items)*entryBytes+len(keys)+trailerBytes)
	for i := range items {
		p = items[i].append(p)
	}
	t.entries, t.keyBytes = int64(len(items)), int64(len(keys))
	t.entriesCRC, t.keysCRC = checksum(p), checksum(keys)
	p = append(p, keys...)
	at := len(p)
	p = le.AppendUint64(p, ^nonce)
	p = le.AppendUint64(p, t.firstNumber)
	p = le.AppendUint64(p, t.records)
	p = le.AppendUint64(p, uint64(t.at))
	p = le.AppendUint64(p, uint64(t.entries))
	p = le.AppendUint64(p, uint64(t.keyBytes))
	p = le.AppendUint32(p, t.entriesCRC)
	p = le.AppendUint32(p, t.keysCRC)
	p = le.AppendUint32(p, 0)
	return le.AppendUint32(p, checksum(p[at:]))
}

// parseTrailer reads the last bytes of a file of the given size.
func parseTrailer(p []byte, nonce uint64, size int64) (trailer, bool) {
	le := binary.LittleEndian
	if len(p) < trailerBytes || le.Uint64(p) != ^nonce || le.Uint32(p[60:]) != checksum(p[:60]) {
		return trailer{}, false
	}
	t := trailer{
		firstNumber: le.Uint64(p[8:]), records: le.Uint64(p[16:]),
		at: int64(le.Uint64(p[24:])), entries: int64(le.Uint64(p[32:])), keyBytes: int64(le.Uint64(p[40:])),
		entriesCRC: le.Uint32(p[48:]), keysCRC: le.Uint32(p[52:]),
	}
	// Each is held against the size first, so that the sum can't overflow.
	if t.at < fileHeaderBytes || t.at > size || t.entries < 0 || t.entries > size/entryBytes || t.keyBytes < 0 || t.keyBytes > size {
		return trailer{}, false
	}
	return t, t.keysAt()+t.keyBytes+trailerBytes == size
}

// appendKey adds a key to the keys of a footer.
func appendKey(keys []byte, key string) []byte {
	return append(binary.LittleEndian.AppendUint32(keys, uint32(len(key))), key...)
}

// eachKey calls yield for each key of a footer, and returns false if they aren't keys to the end.
func eachKey(keys []byte, yield func(key []byte)) bool {
	for len(keys) > 0 {
		if len(keys) < 4 {
			return false
		}
		n := binary.LittleEndian.Uint32(keys)
		keys = keys[4:]
		if uint64(n) > uint64(len(keys)) {
			return false
		}
		yield(keys[:n])
		keys = keys[n:]
	}
	return true
}
