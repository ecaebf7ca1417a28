package tree

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// stranger is a machine that speaks to the tree without one of its own.
func (w *world) stranger(name config.NodeID) plain {
	return w.transport(w.net.Host(string(name)), name)
}

func status(err error) int {
	var r *refusal
	if errors.As(err, &r) {
		return r.Status
	}
	return 0
}

func TestFlooderIsCut(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		root := w.add(control("control-a"))
		registry := prometheus.NewRegistry()
		root.options.Metrics = NewMetrics(registry)
		root.start()
		flooder := w.stranger("flooder")
		defer flooder.CloseIdleConnections()
		log, err := OpenLog(t.Context(), flooder, "control-a:7000", feed.Position{})
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		reports, run := OpenReports(t.Context(), flooder, "control-a:7000")
		var all sync.WaitGroup
		all.Go(run)
		for count := 1; ; count++ {
			text, _ := json.Marshal(feed.Report{Node: "flooder", Boot: "1", Count: uint64(count)})
			if reports.Send(text) != nil {
				break
			}
			time.Sleep(time.Millisecond)
			if count == 20_000 {
				t.Fatal("nobody stops it")
			}
		}
		all.Wait()
		if got := status(reports.Err()); got != http.StatusTooManyRequests {
			t.Errorf("it is told %v, want 429", reports.Err())
		}
		for {
			if _, err := log.Next(); err != nil {
				break // the log ends too
			}
		}
		if _, err := OpenLog(t.Context(), flooder, "control-a:7000", feed.Position{}); status(err) != http.StatusTooManyRequests {
			t.Errorf("it is let in again at once: %v", err)
		}
		if n := testutil.ToFloat64(root.options.Metrics.cut.WithLabelValues(errFlood.Error())); n != 1 {
			t.Errorf("%v floods are counted, want 1", n)
		}
		time.Sleep(bannedTime)
		again, err := OpenLog(t.Context(), flooder, "control-a:7000", feed.Position{})
		if err != nil {
			t.Fatalf("it isn't let in after a while: %v", err)
		}
		again.Close()
	})
}

// TestSlowChildIsCut follows without reading.
func TestSlowChildIsCut(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		root := w.add(control("control-a"))
		root.start()
		slow := w.stranger("slow")
		defer slow.CloseIdleConnections()
		response, err := get(t.Context(), slow, "control-a:7000", pathLog, map[string][]string{"after": {"0.0"}})
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		for i := range 200 {
			w.control.Set("site/shop", bytes.Repeat([]byte{byte(i)}, 60<<10))
			time.Sleep(5 * time.Millisecond)
		}
		w.reach(2*writeTimeout, "it is cut", func() bool {
			root.tree.mu.Lock()
			defer root.tree.mu.Unlock()
			return len(root.tree.children) == 0
		})
	})
}

func TestStrangersAndNonsense(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		root := w.add(control("control-a"))
		root.start()
		somebody, nobody := w.stranger("somebody"), w.stranger("nobody")
		nobody.name = ""
		defer somebody.CloseIdleConnections()
		defer nobody.CloseIdleConnections()
		for _, c := range []struct {
			who  plain
			path string
			want int
		}{
			{nobody, pathLog + "?after=0.0", http.StatusForbidden},
			{nobody, pathHello, http.StatusForbidden},
			{nobody, pathCheckpoint, http.StatusForbidden},
			{nobody, pathObjects + feed.Hash{}.String(), http.StatusForbidden},
			{somebody, pathLog, http.StatusBadRequest},
			{somebody, pathLog + "?after=x", http.StatusBadRequest},
			{somebody, pathObjects + "x", http.StatusBadRequest},
			{somebody, pathObjects + feed.Hash{}.String(), http.StatusNotFound},
			{somebody, "/feed/v1/nothing", http.StatusNotFound},
			{somebody, pathHello, http.StatusOK},
			{somebody, pathCheckpoint, http.StatusOK},
		} {
			request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://control-a:7000"+c.path, nil)
			response, err := c.who.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != c.want {
				t.Errorf("%q asks for %s: %d, want %d", c.who.name, c.path, response.StatusCode, c.want)
			}
		}
		reports, run := OpenReports(t.Context(), somebody, "control-a:7000")
		run()
		if status(reports.Err()) != http.StatusConflict {
			t.Errorf("who doesn't follow reports: %v", reports.Err())
		}
		itself := w.transport(root.host, "control-a")
		defer itself.CloseIdleConnections()
		if _, err := OpenLog(t.Context(), itself, "control-a:7000", feed.Position{}); status(err) != http.StatusLoopDetected {
			t.Errorf("a node follows itself: %v", err)
		}
	})
}

// TestSecretsStay asks for an object that is referred to as one that the feed doesn't carry.
func TestSecretsStay(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		root := w.add(control("control-a"))
		secret, private, open := []byte("secret"), []byte("private"), []byte("open")
		root.options.Private = func(h feed.Hash) bool { return h == feed.HashOf(private) }
		child := w.add(edge("lisbon", "", 0))
		w.startAll()
		w.control.Write(secret, func(e *feed.Entry, _ *feed.State) {
			e.Changes = []feed.Change{{Key: "key", Doc: &feed.Doc{Ref: feed.Ref{Revision: 1, Object: feed.HashOf(secret), Size: 6, Local: true}}}}
		})
		w.control.Set("private", private)
		head := w.control.Set("open", open)
		w.reach(5*time.Second, "the node has all", w.caughtUp(head))
		for _, o := range [][]byte{secret, private} {
			if _, err := child.tree.Object(t.Context(), feed.HashOf(o)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s is given away: %v", o, err)
			}
		}
		if got, err := child.tree.Object(t.Context(), feed.HashOf(open)); err != nil || !bytes.Equal(got, open) {
			t.Errorf("what isn't secret: %q, %v", got, err)
		}
	})
}

// TestObjectsComeDown asks at the bottom for a large object that only control's store has.
func TestObjectsComeDown(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		root := w.add(control("control-a"))
		large := bytes.Repeat([]byte("large "), 1<<20)
		fetches := 0
		root.options.Fetch = func(_ context.Context, h feed.Hash) ([]byte, error) {
			if h != feed.HashOf(large) {
				return nil, fs.ErrNotExist
			}
			fetches++
			time.Sleep(100 * time.Millisecond)
			return large, nil
		}
		for i := range 6 {
			w.add(edge("lisbon", "", i))
		}
		w.enrol()
		w.startAll()
		relay, leaf := w.relayAndLeaf()
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() {
				if got, err := leaf.tree.Object(t.Context(), feed.HashOf(large)); err != nil || !bytes.Equal(got, large) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			})
		}
		all.Wait()
		if fetches != 1 {
			t.Errorf("control was asked %d times, want once", fetches)
		}
		for _, n := range []*node{root, relay, leaf} {
			if _, err := n.keeper.Object(feed.HashOf(large)); err != nil {
				t.Errorf("%s didn't keep it", n.record.Name)
			}
		}
		if _, err := leaf.tree.Object(t.Context(), feed.HashOf([]byte("nowhere"))); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an object that nobody has: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		root.host.Blackhole()
		relay.host.Blackhole()
		if _, err := leaf.tree.Object(ctx, feed.HashOf([]byte("else"))); err == nil || ctx.Err() == nil {
			t.Errorf("without anybody to ask: %v", err)
		}
		root.host.Heal()
		relay.host.Heal()
	})
}

// TestLongLogIsCut lets the log of a relay get long: it takes a checkpoint, and those below it go on.
func TestLongLogIsCut(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		root := w.add(control("control-a"))
		n := w.add(edge("lisbon", "", 0))
		var head feed.Position
		for i := range 1100 {
			head = w.control.Purge(feed.Purge{Kind: feed.PurgeTag, Value: fmt.Sprint(i)})
		}
		w.startAll()
		w.reach(5*time.Second, "it has all", w.caughtUp(head))
		w.reach(3*rebaseInterval, "both logs are short", func() bool {
			_, a := root.keeper.After(feed.Position{Epoch: 1, Seq: 1}, 1)
			_, b := n.keeper.After(feed.Position{Epoch: 1, Seq: 1}, 1)
			return !a && !b
		})
		head = w.control.Purge(feed.Purge{Kind: feed.PurgeAll})
		w.reach(5*time.Second, "it goes on", w.caughtUp(head))
	})
}

func TestRunEndsAll(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		root := w.add(control("control-a"))
		n := w.add(edge("lisbon", "", 0))
		w.startAll()
		w.reach(5*time.Second, "it follows", func() bool { id, _, _ := n.tree.Parent(); return id != "" })
		if err := root.tree.Run(t.Context()); err == nil {
			t.Error("it runs twice")
		}
		n.kill()
		if id, _, _ := n.tree.Parent(); id != "" {
			t.Errorf("it follows %s after it has ended", id)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{}, {Self: "a"}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
