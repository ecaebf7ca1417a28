package feed

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
)

// logFile is the log on the disk, and where each entry lies in it. Its entries are of one epoch and without a gap. All methods are called
// by who holds the keeper's writing, but hashAt, last and read by others too, who hold mu.
type logFile struct {
	disk disk
	path string
	temp string // where a new one is made
	warn func(string, ...any)
	torn bool // the file may hold other things than spots say, or lose what it is told: it is written anew before it takes more

	mu    *sync.RWMutex // the keeper's; protects what follows, together with writing: who changes it holds both
	file  file          // nil if there is none that can be read
	first uint64        // number of the first entry
	spots []spot
	bytes int64 // of all entries; what lies behind is nothing
}

type spot struct {
	at   int64
	hash Hash
}

// last returns the number and the hash of the last entry.
func (l *logFile) last() (seq uint64, h Hash, ok bool) {
	if len(l.spots) == 0 {
		return 0, Hash{}, false
	}
	return l.first + uint64(len(l.spots)) - 1, l.spots[len(l.spots)-1].hash, true
}

// hashAt returns the hash of an entry, if it is here.
func (l *logFile) hashAt(seq uint64) (h Hash, ok bool) {
	if seq < l.first || seq-l.first >= uint64(len(l.spots)) {
		return Hash{}, false
	}
	return l.spots[seq-l.first].hash, true
}

// drop forgets the entries. The file is written anew before it takes more.
func (l *logFile) drop() { l.spots, l.bytes, l.torn = nil, 0, true }

func (l *logFile) note(seq uint64, at, size int64, h Hash) {
	if len(l.spots) == 0 {
		l.first = seq
	}
	l.spots = append(l.spots, spot{at, h})
	l.bytes = at + size
}

// open reads the file. take is given each entry's record, notes it if it is good, and else says why not.
func (l *logFile) open(take func(s Signed, at, size int64) error) error {
	f, err := l.disk.Open(l.path)
	if err != nil {
		// A node must come up from what it has on a disk that is full or can't be written.
		l.warn("the feed's log can't be written; what is in it holds", "file", l.path, "error", err)
		l.torn = true
		f, err = opened(os.Open(l.path))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	l.file = f
	good, err := scanRecords(io.NewSectionReader(f, 0, math.MaxInt64), EntryMax, take)
	var failed *fs.PathError
	switch {
	case err == nil:
	case errors.As(err, &failed):
		l.warn("the feed's log on this disk can't be read further; the rest is asked for again", "file", l.path, "at", good, "error", err)
		l.torn = true
		return nil
	case errors.Is(err, errTorn):
		l.warn("the end of the feed's log was written in part; it is cut off", "file", l.path, "at", good)
	default:
		l.warn("the feed's log on this disk is good up to here only; the rest is cut off and asked for again", "file", l.path, "at", good, "error", err)
	}
	if err != nil && f.Truncate(good) != nil {
		l.torn = true
	}
	return nil
}

// append writes entries behind the last one, which are on the disk when it returns if sync says so. After an error the log is as
// before.
func (l *logFile) append(add []fresh, sync bool) error {
	if l.torn {
		if err := l.rewrite(0); err != nil {
			return err
		}
	}
	var b []byte
	for _, t := range add {
		b = appendRecord(b, t.signed.Signature, t.signed.Bytes)
	}
	_, err := l.file.WriteAt(b, l.bytes)
	if err == nil && sync {
		err = l.file.Sync()
	}
	if err != nil {
		// A disk that failed to write once may have thrown away what it said it had.
		l.torn = true
		return errors.Join(err, l.file.Truncate(l.bytes))
	}
	return nil
}

// rewrite makes the file anew without its first entries. After an error the entries are as before.
func (l *logFile) rewrite(without int) (err error) {
	from := l.bytes
	if without < len(l.spots) {
		from = l.spots[without].at
	}
	f, err := l.disk.Create(l.temp)
	if err != nil {
		return err
	}
	if from < l.bytes {
		_, err = io.Copy(f, io.NewSectionReader(l.file, from, l.bytes-from))
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.disk.Rename(l.temp, l.path)
	}
	if err != nil {
		return errors.Join(err, f.Close(), l.disk.Remove(l.temp))
	}
	l.swap(f, without, from)
	err = l.disk.SyncDir(filepath.Dir(l.path))
	l.torn = err != nil
	return err
}

func (l *logFile) swap(f file, without int, from int64) {
	rest := make([]spot, 0, len(l.spots)-without)
	for _, s := range l.spots[without:] {
		rest = append(rest, spot{s.at - from, s.hash})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close() // its name is gone
	}
	l.file, l.spots, l.bytes, l.first = f, rest, l.bytes-from, l.first+uint64(without)
}

// read returns entries from seq on, about bytesMax of them, at least one.
func (l *logFile) read(seq uint64, bytesMax int) ([]Signed, error) {
	i := int(seq - l.first)
	end := func(j int) int64 {
		if j+1 < len(l.spots) {
			return l.spots[j+1].at
		}
		return l.bytes
	}
	from, j := l.spots[i].at, i
	for j+1 < len(l.spots) && end(j+1)-from <= int64(bytesMax) {
		j++
	}
	data := make([]byte, end(j)-from)
	if _, err := l.file.ReadAt(data, from); err != nil {
		return nil, fmt.Errorf("read the feed's log: %w", err)
	}
	out := make([]Signed, 0, j-i+1)
	for len(data) > 0 {
		signature, content, rest, err := cutRecord(data, EntryMax)
		if err != nil {
			return nil, fmt.Errorf("read the feed's log: %w", err)
		}
		out, data = append(out, Signed{content, signature}), rest
	}
	return out, nil
}
