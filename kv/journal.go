package kv

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// What a store has in its directory:
//
//	lock       held by the process
//	NNN.state  frames: a head, the state as pages, the writes that aren't ordered, an end
//	NNN.log    frames: writes and pages that came after NNN.state
//
// A frame is
//
//	0  length of the payload, big endian
//	4  CRC-32C of the payload, big endian
//	8  payload: a letter, and what it says
//	     'H' a head: "1" origin next epoch seq at salt(8) loaded
//	     'P' a page
//	     'O' a write of this node
//	     'E' the end of a state: how many frames came before it
//
// A new state is begun with a new log, so that writes go on while it is written; logs before it are removed when it is whole.
const (
	frameHead = 8
	frameMax  = 64 << 20
	stateName = ".state"
	logName   = ".log"
	lockName  = "lock"
	headForm  = "1"
	statePage = 256 << 10
	logMin    = 8 << 20 // a log that isn't longer is never written anew
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendFrame(b []byte, kind byte, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(1+len(payload)))
	b = binary.BigEndian.AppendUint32(b, crc32.Update(crc32.Checksum([]byte{kind}, castagnoli), castagnoli, payload))
	return append(append(b, kind), payload...)
}

// errTorn is of what isn't a frame: written in part, or damaged.
var errTorn = errors.New("it isn't whole, or damaged")

// scanFrames calls take with each frame until there are no more (nil), take's error, or errTorn. The payload is take's own.
func scanFrames(r io.Reader, take func(kind byte, payload []byte) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		var head [frameHead]byte
		if _, err := io.ReadFull(in, head[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return errTorn
		}
		n := binary.BigEndian.Uint32(head[:])
		if n < 1 || n > frameMax {
			return errTorn
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(in, data); err != nil || crc32.Checksum(data, castagnoli) != binary.BigEndian.Uint32(head[4:]) {
			return errTorn
		}
		if err := take(data[0], data[1:]); err != nil {
			return err
		}
	}
}

// head is what a state begins with.
type head struct {
	origin     string
	next       uint64
	epoch, seq uint64
	at         int64
	salt       [8]byte
	loaded     bool // the state was control's once, and may be answered from
}

func (h *head) append(b []byte) []byte {
	b = binary.AppendUvarint(appendText(append(b, headForm...), h.origin), h.next)
	b = appendTime(binary.AppendUvarint(binary.AppendUvarint(b, h.epoch), h.seq), h.at)
	b = append(b, h.salt[:]...)
	if h.loaded {
		return append(b, 1)
	}
	return append(b, 0)
}

func parseHead(data []byte) (h head, err error) {
	r := reader{rest: data}
	r.magic(headForm)
	h.origin, h.next, h.epoch, h.seq, h.at = r.text(originMax), r.number(), r.number(), r.number(), r.time()
	copy(h.salt[:], r.bytes(len(h.salt)))
	h.loaded = r.byte() == 1
	return h, r.end()
}

// journal keeps a machine on a disk. Who calls its methods has the store's mutex, but for save.
type journal struct {
	dir  string
	log  *slog.Logger
	lock *os.File

	generation uint64     // of current
	current    *logFile   // takes what comes
	former     []*logFile // logs before it that are open; with stated of who saves
	stated     uint64     // generation of the state that was saved last
	whole      int64      // its size
	err        error      // why nothing can be acknowledged until a new state is saved
}

// logFile is a log of the journal.
type logFile struct {
	file *os.File
	size atomic.Int64

	mu     sync.Mutex // held while the file is synced; protects synced
	synced int64      // up to there it is on the disk, or in a state that is
}

// openJournal reads what is in dir into m, and says whether it was control's state once. What isn't right any more is left out, and the log says so.
func openJournal(dir string, log *slog.Logger, m *machine) (j *journal, loaded bool, err error) {
	j = &journal{dir: dir, log: log}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, false, err
	}
	if j.lock, err = lockFile(filepath.Join(dir, lockName)); err != nil {
		return nil, false, fmt.Errorf("%s: %w", dir, err)
	}
	loaded, err = j.load(m)
	if err != nil {
		return nil, false, errors.Join(err, j.lock.Close())
	}
	return j, loaded, nil
}

// lockFile locks a file for this process.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another process has it: %w", err), f.Close())
	}
	return f, nil
}

func (j *journal) path(generation uint64, suffix string) string {
	return filepath.Join(j.dir, strconv.FormatUint(generation, 10)+suffix)
}

// generations are those of files with a suffix, in their order.
func (j *journal) generations(suffix string) (list []uint64, err error) {
	files, err := os.ReadDir(j.dir)
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), suffix); ok {
			if n, err := strconv.ParseUint(name, 10, 64); err == nil {
				list = append(list, n)
				j.generation = max(j.generation, n)
			}
		}
	}
	slices.Sort(list)
	return list, err
}

func (j *journal) load(m *machine) (loaded bool, err error) {
	states, err := j.generations(stateName)
	if err != nil {
		return false, err
	}
	from := uint64(0)
	for _, g := range slices.Backward(states) {
		fresh := newMachine(m.origin)
		was, err := j.loadState(j.path(g, stateName), fresh)
		if err == nil {
			*m, loaded, from = *fresh, was, g
			break
		}
		j.log.Error("a state of the key-value store on this disk isn't right; what there is before it, and what control has, is used", "file", j.path(g, stateName), "error", err)
	}
	logs, err := j.generations(logName)
	if err != nil {
		return false, err
	}
	for _, g := range logs {
		if g >= from {
			if err := j.loadFile(j.path(g, logName), func(kind byte, payload []byte) error { return m.replay(kind, payload) }); err != nil {
				j.log.Warn("the end of a log of the key-value store isn't whole; what comes after it was never acknowledged, or is damaged", "file", j.path(g, logName), "error", err)
			}
		}
	}
	return loaded, nil
}

func (j *journal) loadFile(path string, take func(kind byte, payload []byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return scanFrames(f, take)
}

// loadState reads a whole state.
func (j *journal) loadState(path string, m *machine) (loaded bool, err error) {
	var h head
	count, ended := uint64(0), false
	var pages []*Page
	var ops [][]byte
	err = j.loadFile(path, func(kind byte, payload []byte) (err error) {
		switch {
		case ended, (kind == 'H') != (count == 0):
			return errTorn
		case kind == 'H':
			h, err = parseHead(payload)
		case kind == 'P':
			var p *Page
			p, err = ParsePage(payload)
			pages = append(pages, p)
		case kind == 'O':
			ops = append(ops, payload)
		case kind == 'E':
			r := reader{rest: payload}
			if ended = r.number() == count; !ended {
				return errTorn
			}
		default:
			return errTorn
		}
		count++
		return err
	})
	if err == nil && !ended {
		err = errTorn
	}
	if err != nil {
		return false, err
	}
	state := build(h.epoch, [Shards + 1]*Page{}, pages)
	*m = *state
	m.origin, m.next, m.seq, m.at, m.salt = h.origin, h.next, h.seq, h.at, h.salt
	for _, op := range ops {
		if err := m.replay('O', op); err != nil {
			return false, err
		}
	}
	return h.loaded, nil
}

// replay takes a frame of a log. A page that isn't the next one is control's to give again.
func (m *machine) replay(kind byte, payload []byte) error {
	switch kind {
	case 'P':
		p, err := ParsePage(payload)
		if err != nil {
			return err
		}
		m.take(p)
		return nil
	case 'O':
		r := reader{rest: payload}
		o := r.op()
		if err := r.end(); err != nil {
			return err
		}
		switch {
		case o.N <= m.marks[m.origin].Last: // it was ordered before it was here that it was
			return nil
		case len(m.pending) > 0 && o.N != m.pending[len(m.pending)-1].N+1:
			return errTorn
		}
		m.lay(o)
		m.next = o.N + 1
		return nil
	}
	return errTorn
}

// note appends a frame to the log, and returns what sync waits for. After an error nothing is acknowledged until a state is saved.
func (j *journal) note(kind byte, payload []byte) (spot, error) {
	if j.err != nil {
		return spot{}, j.err
	}
	frame := appendFrame(nil, kind, payload)
	if _, err := j.current.file.Write(frame); err != nil {
		j.err = err
		return spot{}, err
	}
	return spot{j.current, j.current.size.Add(int64(len(frame)))}, nil
}

// spot is a place in a log.
type spot struct {
	log *logFile
	end int64
}

// sync returns when the log is on the disk up to a spot; callers that come meanwhile share the next time.
func (at spot) sync() error {
	l := at.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.synced >= at.end {
		return nil
	}
	end := l.size.Load()
	if err := l.file.Sync(); err != nil {
		return err
	}
	l.synced = end
	return nil
}

// turn begins a new log; what is noted from now on comes after the state that save then writes.
func (j *journal) turn() error {
	if j.current != nil && j.current.size.Load() == 0 && j.generation > j.stated {
		return nil // the state couldn't be saved
	}
	f, err := os.OpenFile(j.path(j.generation+1, logName), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	j.generation++
	if err := syncDir(j.dir); err != nil {
		return errors.Join(err, f.Close())
	}
	if j.current != nil {
		j.former = append(j.former, j.current)
	}
	j.current = &logFile{file: f}
	return nil
}

// long says whether a new state would be shorter than the log.
func (j *journal) long() bool { return j.current.size.Load() > max(logMin, 2*j.whole) }

// save writes a state, and removes what came before it. It doesn't need the store's mutex; one runs at a time.
func (j *journal) save(generation uint64, f frozen) (size int64, err error) {
	path := j.path(generation, stateName)
	size, err = writeState(path+".part", f)
	if err == nil {
		err = os.Rename(path+".part", path)
	}
	if err == nil {
		err = syncDir(j.dir)
	}
	if err != nil {
		return 0, err
	}
	j.stated = generation
	for _, l := range j.former {
		err = errors.Join(err, l.close()) // who waits for it has it in the state
	}
	j.former = nil
	files, _ := os.ReadDir(j.dir)
	for _, f := range files {
		number, _, _ := strings.Cut(f.Name(), ".")
		if g, bad := strconv.ParseUint(number, 10, 64); bad == nil && g < generation {
			err = errors.Join(err, os.Remove(filepath.Join(j.dir, f.Name())))
		}
	}
	if err != nil {
		j.log.Warn("old files of the key-value store couldn't be removed", "error", err)
	}
	return size, nil
}

// frozen is what a machine has at a moment.
type frozen struct {
	head    head
	marks   []Mark
	sets    []Set
	pending []*Op
}

func (m *machine) freeze(loaded bool) frozen {
	f := frozen{head: head{m.origin, m.next, m.epoch, m.seq, m.at, m.salt, loaded}, marks: m.shard(Shards).Marks, pending: slices.Clone(m.pending)}
	for _, s := range m.spaces {
		for _, e := range s.keys {
			if e.ordered != nil {
				f.sets = append(f.sets, Set{s.name, e.key, e.ordered})
			}
		}
	}
	return f
}

func writeState(path string, f frozen) (size int64, err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	out := bufio.NewWriterSize(file, 64<<10)
	count := uint64(0)
	write := func(kind byte, payload []byte) {
		frame := appendFrame(nil, kind, payload)
		_, _ = out.Write(frame) // Flush has the error
		size += int64(len(frame))
		count++
	}
	write('H', f.head.append(nil))
	page := Page{Salt: f.head.salt, Seq: f.head.seq, At: f.head.at, Marks: f.marks}
	bytes := 0
	for i := range f.sets {
		page.Sets = append(page.Sets, f.sets[i])
		if bytes += len(f.sets[i].Record.Value) + len(f.sets[i].Key); bytes > statePage {
			write('P', page.Append(nil))
			page.Marks, page.Sets, bytes = nil, nil, 0
		}
	}
	write('P', page.Append(nil))
	for _, o := range f.pending {
		write('O', o.append(nil))
	}
	write('E', binary.AppendUvarint(nil, count))
	if err = out.Flush(); err == nil {
		err = file.Sync()
	}
	return size, errors.Join(err, file.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// close closes a log, which is on the disk.
func (l *logFile) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.synced == math.MaxInt64 {
		return nil
	}
	l.synced = math.MaxInt64
	return l.file.Close()
}

func (j *journal) close() error {
	var err error
	for _, l := range append(j.former, j.current) {
		if l != nil {
			err = errors.Join(err, spot{l, l.size.Load()}.sync(), l.close())
		}
	}
	return errors.Join(err, j.lock.Close())
}
