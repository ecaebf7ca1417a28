package cache

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/wherry/wherry/cache/purges"
	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/fault"
)

// flightID names a fetch that may be shared: the key, whether the request was with Authorization (then the response most often
// can't be shared, and others shouldn't wait for it), and the request fields that Vary is known to name for it.
type flightID struct {
	key        store.Key
	authorized bool
	secondary  string
}

const (
	// tailMax is how much of a body that the store couldn't hold waits for the slowest reader.
	tailMax = 1 << 20
	// tailPatience is how long a reader may hold up the others like that, before it is cut off.
	tailPatience = 5 * time.Second
)

var errTooSlow = errors.New("the client took the body too slowly, and others who share the fetch waited for it")

// flight is one fetch and those who wait for it. The goroutine of fill writes it; exchanges read.
type flight struct {
	id     flightID
	cancel context.CancelFunc
	header chan struct{} // closed when the outcome below is there

	// The outcome; set before header is closed, constant afterwards.
	resp        *store.Response // nil if the fetch failed or the response is only for the leader
	complete    bool            // resp's body is in the store already
	shared      bool            // others than the leader may use resp
	revalidated bool            // the upstream said 304
	err         error
	why         string // why resp isn't stored or shared, for the trace
	fetchStatus int
	fetchTime   time.Duration
	size        int64      // of the body, -1 if the upstream didn't say
	asAsked     *selection // the part that the upstream sent, if the leader's own Range was asked for

	mu         sync.Mutex // protects what follows
	changed    sync.Cond  // on mu: bytes came, a reader moved on, or it is over
	direct     *http.Response
	stream     *stream // that fills the parts of resp; the flight is a user of it as long as somebody waits
	leaderGone bool
	waiting    int        // exchanges that wait for the header section or read the body
	background bool       // goes on without anybody waiting
	landed     bool       // header is closed
	doomed     bool       // purged meanwhile: don't store
	abandoned  bool       // cancelled because nobody waits
	body       store.Body // nil before it is known that the response may be stored, and when nobody needs it any more
	inBody     int64      // bytes in body
	length     int64      // bytes that have arrived: those in body, then those in tail
	tail       []tailPiece
	tailBytes  int
	spilled    bool // the store couldn't hold it all: what arrives goes through tail, at the pace of the slowest reader
	readers    []*flightReader
	cut        int // exchanges whose reader was cut off and that haven't left yet
	done       bool
	bodyErr    error
	trailer    http.Header
}

// flightReader is how far one exchange has read.
type flightReader struct {
	off int64
	cut bool // held up the others for too long
}

// tailPiece is a run of the body that only the readers at hand will see.
type tailPiece struct {
	off  int64
	data []byte
}

func newFlight(id flightID, cancel context.CancelFunc) *flight {
	f := &flight{id: id, cancel: cancel, header: make(chan struct{}), size: -1}
	f.changed.L = &f.mu
	return f
}

// land publishes the outcome.
func (f *flight) land() {
	f.mu.Lock()
	f.landed = true
	f.mu.Unlock()
	close(f.header)
}

// leave ends an exchange's part in f. A fetch that nobody waits for any more ends, unless its response is being stored.
func (f *flight) leave(leads bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waiting--
	f.changed.Broadcast()
	if leads {
		f.leaderGone = true
		if f.direct != nil {
			f.direct.Body.Close()
			f.direct = nil
		}
	}
	if f.waiting == 0 && f.stream != nil {
		f.stream.release()
	}
	if f.waiting == 0 && !f.background && (!f.landed || f.spilled) {
		f.abandoned = true
		f.cancel()
	}
}

// streams returns how far the stream reaches that the fetch has become; 0 if it hasn't.
func (f *flight) streams() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stream == nil {
		return 0
	}
	return f.stream.reaches()
}

// handOver gives the leader a response that is only for it; if the leader has gone, the response is closed.
func (f *flight) handOver(resp *http.Response) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.leaderGone {
		resp.Body.Close()
		return
	}
	f.direct = resp
}

// takeDirect takes what handOver gave.
func (f *flight) takeDirect() *http.Response {
	f.mu.Lock()
	defer f.mu.Unlock()
	resp := f.direct
	f.direct = nil
	return resp
}

// mayShare says whether the response of f, which has landed, may be used for this request at now. It is as with a stored one
// (RFC 9111 §4), but an answer that the origin gave after this request came needs no validation, however young it shall be.
func (x *exchange) mayShare(f *flight, now time.Time) bool {
	if f.resp == nil || !f.shared || !x.c.purges.Current(f.resp) {
		return false
	}
	req := x.req
	if !x.late {
		req.NoCache, now = false, f.resp.Received()
	}
	d := reusable(f.resp, false, &purges.Finding{}, &req, x.p, now)
	return d.reuse == reuseFresh || d.reuse == reuseStale
}

// open adds a reader at the start of the body, for an exchange that waits; nothing of it has gone by (trim).
func (f *flight) open() *flightReader {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &flightReader{}
	f.readers = append(f.readers, r)
	return r
}

// seek moves a reader that hasn't read yet to off.
func (f *flight) seek(r *flightReader, off int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r.off = off
	f.trim()
	f.changed.Broadcast() // the fill may wait for this reader to get past what it now leaves out
}

func (f *flight) close(r *flightReader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers = slices.DeleteFunc(f.readers, func(other *flightReader) bool { return other == r })
	if r.cut {
		f.cut--
	}
	f.trim()
	f.changed.Broadcast()
}

// copyTo writes the body from r's offset to end (-1: to its end) to w while it arrives, calling idle before it waits. It returns
// what of it was written, and the error that the fetch or w ended with.
func (f *flight) copyTo(ctx context.Context, w io.Writer, r *flightReader, end int64, idle func()) (written int64, err error) {
	stop := context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.changed.Broadcast()
	})
	defer stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for end < 0 || r.off < end {
		if r.off >= f.length && !f.done {
			f.unlocked(idle)
		}
		for r.off >= f.length && !f.done && ctx.Err() == nil {
			f.changed.Wait()
		}
		switch {
		case ctx.Err() != nil:
			return written, ctx.Err()
		case r.cut:
			return written, fault.New(fault.Client, "send body", fault.StatusClientClosedRequest, errTooSlow)
		case r.off >= f.length:
			return written, f.bodyErr
		}
		n, err := f.copySome(w, r, end)
		written += n
		if err != nil {
			return written, fault.New(fault.Client, "send body", fault.StatusClientClosedRequest, err)
		}
	}
	return written, nil
}

// unlocked calls do without mu, also if it panics.
func (f *flight) unlocked(do func()) {
	f.mu.Unlock()
	defer f.mu.Lock()
	do()
}

// copySome writes what is there for r. It is called with mu held and releases it while it writes.
func (f *flight) copySome(w io.Writer, r *flightReader, end int64) (n int64, err error) {
	if end < 0 {
		end = f.length
	}
	if r.off < f.inBody {
		body, upTo := f.body, min(end, f.inBody) // readers may go on in a body that is given up
		f.unlocked(func() { n, err = body.WriteRange(w, r.off, upTo-r.off) })
		r.off += n
		return n, err
	}
	i, _ := slices.BinarySearchFunc(f.tail, r.off+1, func(p tailPiece, off int64) int { return cmp.Compare(p.off, off) })
	piece := f.tail[i-1]
	data := piece.data[r.off-piece.off : min(end-piece.off, int64(len(piece.data)))]
	f.unlocked(func() {
		var m int
		m, err = w.Write(data)
		n = int64(m)
	})
	r.off += n
	f.trim()
	f.changed.Broadcast()
	return n, err
}

// add appends bytes that have arrived. When the store can't hold them it waits for the slowest reader. It returns false if
// nobody reads them any more.
func (f *flight) add(p []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.spilled {
		n, err := f.body.Append(p)
		f.inBody += int64(n)
		f.length += int64(n)
		if p = p[n:]; err != nil {
			f.spilled = true
		}
		f.changed.Broadcast()
	}
	if len(p) == 0 {
		return true
	}
	if !f.awaitRoom(len(p)) {
		return false
	}
	f.tail = append(f.tail, tailPiece{off: f.length, data: slices.Clone(p)})
	f.tailBytes += len(p)
	f.length += int64(len(p))
	f.changed.Broadcast()
	return true
}

// lost says whether it has shown by now that the response can't be stored.
func (f *flight) lost() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.spilled || f.doomed || f.bodyErr != nil
}

// awaitRoom waits until n more bytes fit into the tail. Who keeps it full for tailPatience while others could go on is cut off. It
// returns false if nobody waits any more.
func (f *flight) awaitRoom(n int) bool {
	f.trim()
	if f.tailBytes+n <= tailMax || f.waiting == 0 {
		return f.waiting > 0
	}
	impatient := false
	patience := time.AfterFunc(tailPatience, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		impatient = true
		f.changed.Broadcast()
	})
	defer patience.Stop()
	for ; f.tailBytes+n > tailMax && f.waiting > 0; f.trim() {
		if impatient {
			f.cutSlowest()
			impatient = false
			patience.Reset(tailPatience)
			continue
		}
		f.changed.Wait()
	}
	return f.waiting > 0
}

// cutSlowest cuts off the readers that are furthest behind, if others are not.
func (f *flight) cutSlowest() {
	slowest, fastest := f.extent()
	if slowest == fastest {
		return
	}
	for _, r := range f.readers {
		if r.off == slowest {
			r.cut = true
			f.cut++
		}
	}
	f.readers = slices.DeleteFunc(f.readers, func(r *flightReader) bool { return r.cut })
	f.changed.Broadcast()
}

// extent returns the least and the largest offset of the readers.
func (f *flight) extent() (slowest, fastest int64) {
	slowest = f.length
	for _, r := range f.readers {
		slowest, fastest = min(slowest, r.off), max(fastest, r.off)
	}
	return slowest, fastest
}

// trim drops the pieces of the tail that all readers have read, and what the store holds of a body that it couldn't hold whole
// once they are past it. While an exchange hasn't opened its reader yet, all is kept.
func (f *flight) trim() {
	if len(f.readers)+f.cut < f.waiting {
		return
	}
	slowest, _ := f.extent()
	if f.spilled && f.body != nil && slowest >= f.inBody {
		f.body.Discard()
		f.body = nil
	}
	for len(f.tail) > 0 && f.tail[0].off+int64(len(f.tail[0].data)) <= slowest {
		f.tailBytes -= len(f.tail[0].data)
		f.tail = f.tail[1:]
	}
}

// soloKeys remembers keys whose last response couldn't be shared, so that requests for them don't wait for each other again. It
// is bounded; forgetting one costs a wait.
type soloKeys struct {
	until map[flightID]time.Time // of all variants: without secondary
}

const (
	soloMax  = 16384
	soloTime = time.Minute
)

func (s *soloKeys) has(key flightID, now time.Time) bool {
	until, ok := s.until[key]
	return ok && now.Before(until)
}

func (s *soloKeys) set(key flightID, solo bool, now time.Time) {
	if !solo {
		delete(s.until, key)
		return
	}
	for k := range s.until {
		if len(s.until) < soloMax {
			break
		}
		delete(s.until, k) // any one: a map is walked from a random place
	}
	s.until[key] = now.Add(soloTime)
}
