package disk

import "sync"

const (
	// jobOverhead is what a job is charged with beside its bytes.
	jobOverhead = 256
	// killsMax is how many kills are remembered for a volume that can't be written to; beyond, all that it holds is dropped when it
	// comes back.
	killsMax = 1 << 20
)

// job is a put, or a newer head for blob.
type job struct {
	draft   Draft
	blob    *Blob
	key     uint64 // hash
	variant uint32 // hash
	charge  int64
	done    func(*Blob, error)
	removed bool // owned by the queue's mutex
}

func (j *job) finish(b *Blob, err error) {
	if j.done != nil {
		j.done(b, err)
	}
}

// removal is a Remove that waits for its tombstones.
type removal struct {
	keys []uint64
	done chan removed // of one place
}

type removed struct {
	blobs int
	err   error
}

// grave is a kill that has no tombstone yet. All of it that the volume holds on disk is dead; unless it is hard, what the index
// has there is newer, and does for it what a tombstone would.
type grave struct {
	kill
	hard bool
}

// queue is what waits for the writer of a volume. Lost with the process: all of it.
type queue struct {
	mu       sync.Mutex // owns all but wake
	jobs     []*job
	current  *job // the one that is being written
	bytes    int64
	bytesMax int64
	removals []*removal
	graves   []grave
	overfull bool // more graves than killsMax
	burying  bool // tombstones are being written
	shadow   bool // the disk has a segment whose blobs aren't in the index any more
	closed   bool
	wake     chan struct{} // of one place
}

func (q *queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) push(j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.bytes+j.charge > q.bytesMax {
		return false
	}
	q.bytes += j.charge
	q.jobs = append(q.jobs, j)
	q.poke()
	return true
}

// pop returns the next job, which counts as current until the next pop.
func (q *queue) pop() *job {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.current != nil {
		q.bytes -= q.current.charge
		q.current = nil
	}
	if len(q.jobs) == 0 {
		q.jobs = nil
		return nil
	}
	q.current, q.jobs[0] = q.jobs[0], nil
	q.jobs = q.jobs[1:]
	return q.current
}

func (q *queue) isRemoved(j *job) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return j.removed
}

// all returns the jobs that are being written and that wait.
func (q *queue) all() []*job {
	q.mu.Lock()
	defer q.mu.Unlock()
	jobs := append([]*job(nil), q.jobs...)
	if q.current != nil {
		jobs = append(jobs, q.current)
	}
	return jobs
}

// remove marks the jobs that match, and returns whether there was any.
func (q *queue) remove(match func(*job) bool) (found bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if j := q.current; j != nil && match(j) {
		j.removed, found = true, true
	}
	for _, j := range q.jobs {
		if !j.removed && match(j) {
			j.removed, found = true, true
		}
	}
	return found
}

// bury asks for a tombstone that nobody waits for.
func (q *queue) bury(graves ...grave) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.graves)+len(graves) > killsMax {
		q.overfull = true
		return
	}
	q.graves = append(q.graves, graves...)
	q.poke()
}

func (q *queue) submit(r *removal) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.removals = append(q.removals, r)
	q.poke()
	return true
}

// buries says whether tombstones wait.
func (q *queue) buries() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.graves)+len(q.removals) > 0
}

// uncertain says whether the disk may hold a blob that the index doesn't know any more, so that a Remove has to leave a tombstone
// though it finds nothing. Whoever takes something out of the index sees to it that this is true before, and until the tombstone is
// written or the file is gone; whoever asks has asked the index before.
func (q *queue) uncertain() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.graves)+len(q.removals) > 0 || q.burying || q.shadow || q.overfull
}

func (q *queue) setShadow(on bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.shadow = on
}

// buried ends what take began, with what couldn't be buried. The writer isn't woken for it: it comes back in its own time.
func (q *queue) buried(removals []*removal, graves []grave) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.burying = false
	q.removals = append(removals, q.removals...)
	if len(q.graves)+len(graves) > killsMax {
		q.overfull = true
		return
	}
	q.graves = append(graves, q.graves...)
}

// take empties the list of what is to be buried, that of the graves only if it says so.
func (q *queue) take(graves bool) (r []*removal, g []grave) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r, q.removals = q.removals, nil
	if graves {
		g, q.graves = q.graves, nil
	}
	q.burying = true
	return r, g
}

// takeOverfull says whether there were too many graves since the last call.
func (q *queue) takeOverfull() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	was := q.overfull
	q.overfull = false
	return was
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.poke()
}

func (q *queue) isClosed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}

func (q *queue) queued() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

func (q *queue) setOverfull() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.overfull = true
}
