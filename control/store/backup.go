package store

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"strings"
	"time"
)

// A backup is backupMagic, and then, compressed by gzip, frames:
//
//	4 bytes  length of the payload, big endian
//	4 bytes  CRC-32C of the payload
//	payload:
//	  'H' JSON of backupHead                         first
//	  'K' 2 bytes length of the key, key, value      one for each key, in the order of keys
//	  'B' 32 bytes SHA-256 of a blob                 one for each, and after it
//	  'D' bytes of the blob                          as many as it takes
//	  'E' 8 bytes number of keys, 32 bytes SHA-256 of all frames before this one    last
//
// What is a process's own, slots and leaders, isn't in it. Where it has no blobs it may be read by a wherry that knows none.
const (
	backupMagic    = "wherry backup 1\n"
	backupMagic2   = "wherry backup 2\n" // it may have blobs
	backupFrameMax = 2 << 20             // an external store may have larger values than ours
	frameHead      = 'H'
	frameKey       = 'K'
	frameBlob      = 'B'
	frameData      = 'D'
	frameEnd       = 'E'
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type backupHead struct {
	At   time.Time `json:"at"`
	Name string    `json:"name"` // of the member that wrote it
}

func own(key string) bool {
	return strings.HasPrefix(key, slotsPrefix) || strings.HasPrefix(key, leaderPrefix) || key == restoringKey
}

// Backup writes all keys, as they are at one moment. Secrets are in it as they are stored: sealed. With Local it is what this member has, also
// while there is no majority.
func (s *Store) Backup(ctx context.Context, w io.Writer, options ...ReadOption) error {
	return s.backup(ctx, w, backupMagic, nil, options...)
}

// BackupWith also writes what blobs passes when all keys are written: it has nothing of a blob in memory but a part. What isn't what its hash says is an error.
func (s *Store) BackupWith(ctx context.Context, w io.Writer, blobs func(put func(sum [sha256.Size]byte, content io.Reader) error) error) error {
	return s.backup(ctx, w, backupMagic2, blobs)
}

func (s *Store) backup(ctx context.Context, w io.Writer, magic string, blobs func(func([sha256.Size]byte, io.Reader) error) error, options ...ReadOption) error {
	if _, err := io.WriteString(w, magic); err != nil {
		return err
	}
	z := gzip.NewWriter(w)
	out := frameWriter{w: z, sum: sha256.New()}
	head, err := json.Marshal(backupHead{time.Now().UTC(), s.o.Name})
	if err != nil {
		return err
	}
	if err := out.write(frameHead, head); err != nil {
		return err
	}
	count := uint64(0)
	_, err = s.All(ctx, "", func(kv KV) error {
		if own(kv.Key) {
			return nil
		}
		count++
		return out.write(frameKey, binary.BigEndian.AppendUint16(nil, uint16(len(kv.Key))), []byte(kv.Key), kv.Value)
	}, options...)
	if err == nil && blobs != nil {
		err = blobs(out.blob)
	}
	if err != nil {
		return err
	}
	if err := out.write(frameEnd, binary.BigEndian.AppendUint64(nil, count), out.sum.Sum(nil)); err != nil {
		return err
	}
	return z.Close()
}

type frameWriter struct {
	w   io.Writer
	sum hash.Hash // of all that was written
	buf []byte
}

func (f *frameWriter) write(kind byte, parts ...[]byte) error {
	f.buf = append(f.buf[:0], 0, 0, 0, 0, 0, 0, 0, 0, kind)
	for _, p := range parts {
		f.buf = append(f.buf, p...)
	}
	payload := f.buf[8:]
	if len(payload) > backupFrameMax {
		return fmt.Errorf("a key of %d bytes doesn't fit into a backup", len(payload))
	}
	binary.BigEndian.PutUint32(f.buf, uint32(len(payload)))
	binary.BigEndian.PutUint32(f.buf[4:], crc32.Checksum(payload, castagnoli))
	f.sum.Write(f.buf)
	_, err := f.w.Write(f.buf)
	return err
}

var (
	errForeign = errors.New("not a backup of wherry, or one of another version")
	errDamaged = errors.New("the backup is cut off or damaged: take another one")
)

// ReadBackup calls f with each key of a backup; f must not keep the value. Only when it returns without an error it is known that all of it was
// right. at is when it was written.
func ReadBackup(r io.Reader, f func(key string, value []byte) error) (at time.Time, count int, err error) {
	return ReadBackupWith(r, f, nil)
}

// ReadBackupWith also calls blob with each blob, after all keys. What has another hash than it should have doesn't end with io.EOF.
func ReadBackupWith(r io.Reader, f func(key string, value []byte) error, blob func(sum [sha256.Size]byte, content io.Reader) error) (at time.Time, count int, err error) {
	magic := make([]byte, len(backupMagic))
	if _, err := io.ReadFull(r, magic); err != nil || string(magic) != backupMagic && string(magic) != backupMagic2 {
		return at, 0, errForeign
	}
	z, err := gzip.NewReader(bufio.NewReader(r))
	if err != nil {
		return at, 0, fmt.Errorf("%w (%w)", errDamaged, err)
	}
	in := frameReader{r: bufio.NewReader(z), sum: sha256.New()}
	kind, payload, err := in.next()
	var head backupHead
	if err == nil && kind != frameHead {
		err = errors.New("it has no head")
	}
	if err == nil {
		err = json.Unmarshal(payload, &head)
	}
	if err != nil {
		return at, 0, fmt.Errorf("%w (%w)", errDamaged, err)
	}
	blobs := false
	for before := ""; ; count++ {
		sum := in.sum.Sum(nil)
		kind, payload, err := in.next()
		switch {
		case err != nil:
			return at, count, fmt.Errorf("%w (after %d keys: %w)", errDamaged, count, err)
		case kind == frameEnd:
			if string(payload) != string(binary.BigEndian.AppendUint64(nil, uint64(count)))+string(sum) {
				return at, count, fmt.Errorf("%w (what is in it isn't what was written)", errDamaged)
			}
			if _, err := in.r.ReadByte(); !errors.Is(err, io.EOF) { // gzip's own sum is checked here
				return at, count, fmt.Errorf("%w (something comes after its end)", errDamaged)
			}
			return head.At, count, nil
		case kind == frameBlob && string(magic) == backupMagic2:
			if err := in.blob(payload, blob); err != nil {
				return at, count, err
			}
			blobs = true
			count-- // it is no key
			continue
		case kind != frameKey || blobs:
			return at, count, fmt.Errorf("%w (a frame of the kind %q)", errDamaged, kind)
		}
		key, value, ok := splitKey(payload)
		if !ok || key <= before || own(key) {
			return at, count, fmt.Errorf("%w (the key after %q)", errDamaged, before)
		}
		before = key
		if err := f(key, value); err != nil {
			return at, count, err
		}
	}
}

func splitKey(payload []byte) (key string, value []byte, ok bool) {
	if len(payload) < 2 {
		return "", nil, false
	}
	n, rest := int(binary.BigEndian.Uint16(payload)), payload[2:]
	if n == 0 || n > len(rest) {
		return "", nil, false
	}
	return string(rest[:n]), rest[n:], true
}

type frameReader struct {
	r   *bufio.Reader
	sum hash.Hash // of all that was read
	buf []byte
}

// next returns a frame, which is good until the next call.
func (f *frameReader) next() (kind byte, payload []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(f.r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 1 || n > backupFrameMax {
		return 0, nil, fmt.Errorf("a frame of %d bytes", n)
	}
	if uint32(cap(f.buf)) < n {
		f.buf = make([]byte, n)
	}
	f.buf = f.buf[:n]
	if _, err := io.ReadFull(f.r, f.buf); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	if crc32.Checksum(f.buf, castagnoli) != binary.BigEndian.Uint32(head[4:]) {
		return 0, nil, errors.New("a checksum is wrong")
	}
	f.sum.Write(head[:])
	f.sum.Write(f.buf)
	return f.buf[0], f.buf[1:], nil
}
