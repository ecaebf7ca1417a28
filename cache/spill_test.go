package cache

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/fault"
)

// TestSlowReader: while the store can hold the body, nobody waits for who reads slowly.
func TestSlowReader(t *testing.T) {
	body := numbered(3 << 20)
	g := &gated{fields: []string{"Cache-Control", "max-age=60"}, pieces: []string{body[:1<<20], body[1<<20:]}}
	bubble(t, g.ServeHTTP, func(w *world) {
		g.in()
		hold := make(chan struct{})
		slow := newClient()
		slow.onBody = func(int) error { <-hold; return nil }
		w.start(slow, request(http.MethodGet, "/"))
		fast := w.begin("/")
		g.open(0)
		g.open(1)
		g.open(2)
		if fast.got() != body {
			t.Errorf("%d of %d bytes while another client doesn't read", len(fast.got()), len(body))
		}
		w.expect(w.get("/"), Hit, 200, body)
		close(hold)
		slow.wait()
		w.expect(slow, slow.outcome.Verdict, 200, body)
		w.expect(fast.wait(), fast.outcome.Verdict, 200, body)
	})
}

// endless writes a numbered body without a length, in pieces, once start is closed, and counts the bytes that somebody took.
type endless struct {
	body  string
	start chan struct{}
	taken atomic.Int64
}

func (e *endless) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	<-e.start
	w.Header().Set("Cache-Control", "max-age=60")
	for off := 0; off < len(e.body); off += 16 << 10 {
		n, err := io.WriteString(w, e.body[off:min(len(e.body), off+16<<10)])
		e.taken.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// TestSpill sends a body that the store can't hold: the slowest reader paces, the memory is bounded, and nobody loses a byte.
func TestSpill(t *testing.T) {
	const objectMax = 64 << 10
	e := &endless{body: numbered(6 << 20)}
	bubbleWithStore(t, 1<<20, objectMax, e.ServeHTTP, func(w *world) {
		e.start = make(chan struct{})
		hold := make(chan struct{})
		slow := newClient()
		slow.onBody = func(int) error { <-hold; return nil }
		w.start(slow, request(http.MethodGet, "/"))
		clients := append(w.begins(4), slow)
		close(e.start)
		synctest.Wait()
		if ahead := int(e.taken.Load()); ahead > objectMax+tailMax+(64<<10) || ahead < objectMax {
			t.Errorf("the fetch is %d bytes ahead of the slowest reader", ahead)
		}
		if u := w.store.Usage(); u.Bytes > u.BytesMax {
			t.Errorf("%d bytes in the store of %d", u.Bytes, u.BytesMax)
		}
		close(hold)
		n := verdicts(clients)
		if n[Miss]+n[Collapsed] != len(clients) {
			t.Errorf("verdicts %v", n)
		}
		for _, c := range clients {
			w.expect(c, c.outcome.Verdict, 200, e.body)
		}
		synctest.Wait()
		w.expectSeen(1)
		w.expectEmpty()
	})
}

func TestSpillJoinersGoAlone(t *testing.T) {
	e := &endless{body: numbered(4 << 20)}
	bubbleWithStore(t, 1<<20, 64<<10, e.ServeHTTP, func(w *world) {
		e.start = make(chan struct{})
		close(e.start)
		hold := make(chan struct{})
		first := newClient()
		first.onBody = func(int) error { <-hold; return nil }
		w.start(first, request(http.MethodGet, "/"))
		synctest.Wait()
		second := w.get("/")
		w.expect(second, Miss, 200, e.body)
		w.expectSeen(2)
		if _, status := parseStatus(t, second.outcome.CacheStatus); status["collapsed"] != nil {
			t.Errorf("Cache-Status %q", second.outcome.CacheStatus)
		}
		close(hold)
		first.wait()
	})
}

// TestSpillSlowReaderIsCutOff: who doesn't take the body at all holds up the others for tailPatience, and no longer.
func TestSpillSlowReaderIsCutOff(t *testing.T) {
	e := &endless{body: numbered(6 << 20)}
	bubbleWithStore(t, 1<<20, 64<<10, e.ServeHTTP, func(w *world) {
		e.start = make(chan struct{})
		hold := make(chan struct{})
		stuck := newClient()
		stuck.onBody = func(int) error { <-hold; return nil }
		w.start(stuck, request(http.MethodGet, "/"))
		others := w.begins(3)
		began := time.Now()
		close(e.start)
		for _, c := range others {
			w.expect(c.wait(), c.outcome.Verdict, 200, e.body)
		}
		if took := time.Since(began); took < tailPatience || took > 2*tailPatience {
			t.Errorf("the others had the body after %s", took)
		}
		close(hold)
		f := fault.Of(stuck.wait().outcome.Err)
		if f == nil || f.Party != fault.Client || stuck.outcome.Status != 200 {
			t.Errorf("the one that was stuck: %+v", stuck.outcome)
		}
		synctest.Wait()
		w.expectSeen(1)
		w.expectEmpty()
	})
}

// TestSpillLastReaderLeaves: nobody can use the rest, so it isn't fetched.
func TestSpillLastReaderLeaves(t *testing.T) {
	e := &endless{body: numbered(6 << 20)}
	bubbleWithStore(t, 1<<20, 64<<10, e.ServeHTTP, func(w *world) {
		e.start = make(chan struct{})
		clients, leave := make([]*client, 3), make([]chan struct{}, 3)
		for i := range clients {
			clients[i], leave[i] = newClient(), make(chan struct{})
			clients[i].onBody = func(int) error { <-leave[i]; return errors.New("broken pipe") }
			w.start(clients[i], request(http.MethodGet, "/"))
		}
		synctest.Wait()
		close(e.start)
		synctest.Wait()
		for i, c := range clients {
			if w.up.request(0).Context().Err() != nil {
				t.Error("cancelled while somebody reads")
			}
			close(leave[i])
			if f := fault.Of(c.wait().outcome.Err); f == nil || f.Party != fault.Client || c.outcome.Status != 200 {
				t.Errorf("%+v", c.outcome)
			}
		}
		synctest.Wait()
		if w.up.request(0).Context().Err() == nil {
			t.Error("the fetch goes on")
		}
		if n := e.taken.Load(); n > 2<<20 {
			t.Errorf("%d bytes were taken from the upstream for nobody", n)
		}
		w.expectEmpty()
	})
}

// TestSpillWithRange has a reader that begins far behind what the store can hold. Nobody waits for somebody who waits for it.
func TestSpillWithRange(t *testing.T) {
	const total = 6 << 20
	body := numbered(total)
	handler := func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, body, "Cache-Control", "max-age=60")
	}
	// The store may hold the body, but there is no room, because others' bodies have it.
	bubbleWithStore(t, 8<<20, 8<<20, handler, func(w *world) {
		other := w.store.NewBody(-1)
		if _, err := other.Append(make([]byte, 7<<20)); err != nil {
			t.Fatal(err)
		}
		c := w.get("/", "Range", "bytes="+strconv.Itoa(total-10)+"-")
		w.expect(c, Miss, 206, body[total-10:])
		other.Discard()
		synctest.Wait()
		w.expectEmpty()
	})
}

func TestTooLargeByItsLength(t *testing.T) {
	body := numbered(128 << 10)
	bubbleWithStore(t, 1<<20, 64<<10, always(200, body, "Cache-Control", "max-age=60"), func(w *world) {
		c := w.get("/")
		w.expect(c, Miss, 200, body)
		if c.outcome.Stored {
			t.Error("the outcome says stored")
		}
		w.expectEmpty()
	})
}
