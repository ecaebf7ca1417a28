package tree

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/feed/tree/treetest"
)

// liar stands before an honest node's handler and changes what goes out.
type liar struct {
	honest http.Handler
	lies   atomic.Bool
	frame  func() lie                 // of one stream
	object func(honest []byte) []byte // nil: the truth
}

func (l *liar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case l.lies.Load() && l.object != nil && strings.HasPrefix(r.URL.Path, pathObjects):
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "false")
	case l.frame != nil && r.URL.Path == pathLog:
		l.honest.ServeHTTP(&lyingWriter{ResponseWriter: w, liar: l, lie: l.frame()}, r)
	default:
		l.honest.ServeHTTP(w, r)
	}
}

// lie says what is sent instead of a frame.
type lie func(kind Kind, payload []byte) []byte

// always is a lie that remembers nothing.
func always(l lie) func() lie { return func() lie { return l } }

type lyingWriter struct {
	http.ResponseWriter
	liar *liar
	lie  lie
	held bytes.Buffer
}

func (w *lyingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *lyingWriter) Write(p []byte) (int, error) {
	w.held.Write(p)
	for {
		copied := bufio.NewReader(bytes.NewReader(w.held.Bytes()))
		kind, payload, err := readFrame(copied)
		if err != nil {
			return len(p), nil
		}
		frame := bytes.Clone(w.held.Next(frameHead + len(payload)))
		if w.liar.lies.Load() {
			frame = w.lie(kind, bytes.Clone(payload))
		}
		if _, err := w.ResponseWriter.Write(frame); err != nil {
			return 0, err
		}
	}
}

// TestMaliciousRelay lets a relay lie in every way: nothing of it is adopted, and the node gets the truth from somebody else.
func TestMaliciousRelay(t *testing.T) {
	other := treetest.NewControl(9) // somebody else's
	for name, c := range map[string]struct {
		frame   func() lie
		object  func([]byte) []byte
		reach   time.Duration
		trusted bool // nothing shows that it lies
	}{
		"changes an entry": {frame: always(func(kind Kind, payload []byte) []byte {
			if kind == KindEntry {
				payload = bytes.Replace(payload, []byte("site/shop"), []byte("site/evil"), 1)
			}
			return appendFrame(nil, kind, payload)
		})},
		"invents an entry": {frame: always(func(kind Kind, payload []byte) []byte {
			if kind != KindEntry {
				return appendFrame(nil, kind, payload)
			}
			signed, _, _ := cutSigned(payload)
			var e feed.Entry
			json.Unmarshal(signed, &e)
			e.Changes, e.Purge = nil, &feed.Purge{Kind: feed.PurgeAll}
			s := other.SignEntry(&e)
			return appendSigned(nil, kind, s.Signature, s.Bytes)
		})},
		"leaves an entry out": {frame: func() lie {
			n := 0
			return func(kind Kind, payload []byte) []byte {
				if kind == KindEntry {
					if n++; n == 1 {
						return nil
					}
				}
				return appendFrame(nil, kind, payload)
			}
		}},
		"reorders": {frame: func() lie {
			var held []byte
			return func(kind Kind, payload []byte) []byte {
				frame := appendFrame(nil, kind, payload)
				if kind == KindEntry && held == nil {
					held = frame
					return nil
				}
				if kind == KindEntry {
					frame = append(frame, held...)
				}
				return frame
			}
		}},
		"replays": {trusted: true, frame: func() lie {
			var first []byte
			return func(kind Kind, payload []byte) []byte {
				frame := appendFrame(nil, kind, payload)
				if kind == KindEntry && first == nil {
					first = frame
				}
				return append(frame, first...)
			}
		}},
		"withholds": {reach: time.Minute, frame: always(func(kind Kind, payload []byte) []byte {
			if kind == KindEntry || kind == KindObject {
				return nil
			}
			return appendFrame(nil, kind, payload)
		})},
		"withholds and says that there is nothing": {reach: time.Minute, frame: always(func(kind Kind, payload []byte) []byte {
			var b Beat
			switch kind {
			case KindEntry, KindObject:
				return nil
			case KindBeat:
				json.Unmarshal(payload, &b)
				b.Position = feed.Position{Epoch: 1, Seq: 1}
				return appendJSON(nil, kind, b)
			}
			return appendFrame(nil, kind, payload)
		})},
		"sends an object that isn't what it says": {frame: always(func(kind Kind, payload []byte) []byte {
			if kind == KindObject {
				payload[len(payload)-1]++
			}
			return appendFrame(nil, kind, payload)
		})},
		"invents objects": {trusted: true, frame: always(func(kind Kind, payload []byte) []byte {
			junk := bytes.Repeat([]byte("j"), 60<<10)
			h := feed.HashOf(junk)
			return append(appendFrame(nil, KindObject, h[:], junk), appendFrame(nil, kind, payload)...)
		})},
		"answers with another object": {
			object: func([]byte) []byte { return []byte("false") },
			frame: always(func(kind Kind, payload []byte) []byte {
				if kind == KindObject {
					return nil
				}
				return appendFrame(nil, kind, payload)
			}),
		},
		"invents a checkpoint": {frame: always(func(kind Kind, payload []byte) []byte {
			if kind != KindEntry {
				return appendFrame(nil, kind, payload)
			}
			c, _ := other.Sign(&feed.State{Position: feed.Position{Epoch: 7, Seq: 7}})
			return appendSigned(nil, KindCheckpoint, c.Signature, c.Bytes)
		})},
		"sends noise": {frame: always(func(Kind, []byte) []byte { return []byte("HTTP/1.1 200 OK\r\n\r\n") })},
		"claims frames that have no end": {frame: always(func(kind Kind, _ []byte) []byte {
			return append([]byte{byte(KindCheckpoint), 0x0f, 0xff, 0xff, 0xff}, 0)
		})},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				root := w.add(control("control-a"))
				l := &liar{frame: c.frame, object: c.object}
				for i := range 4 {
					w.add(edge("lisbon", "", i))
				}
				liarNode, victim := w.liarAndVictim()
				liarNode.wrap = func(h http.Handler) http.Handler { l.honest = h; return l }
				w.enrol()
				w.startAll()
				w.reach(3*time.Minute, "the victim follows the liar", func() bool {
					id, _, _ := victim.tree.Parent()
					return id == liarNode.record.Name
				})
				l.lies.Store(true)
				w.control.Set("site/shop", bytes.Repeat([]byte("1"), 1000))
				head := w.control.Set("site/shop", bytes.Repeat([]byte("2"), 1000))
				if c.object != nil {
					if got, err := victim.tree.Object(t.Context(), feed.HashOf(bytes.Repeat([]byte("2"), 1000))); err != nil || got[0] != '2' {
						t.Errorf("the object: %.10q, %v", got, err)
					}
				}
				w.reach(max(c.reach, 10*time.Second), "the victim has all", w.caughtUp(head))
				time.Sleep(5 * time.Second)
				for id, n := range w.nodes {
					if !reflect.DeepEqual(n.keeper.Docs(), root.keeper.Docs()) {
						t.Errorf("%s has other documents than control", id)
					}
					if n.keeper.Objects() > root.keeper.Objects() {
						t.Errorf("%s has objects that control doesn't have", id)
					}
				}
				id, _, _ := victim.tree.Parent()
				if follows := id == liarNode.record.Name; follows != c.trusted {
					t.Errorf("follows the liar: %v", follows)
				}
			})
		})
	}
}

// liarAndVictim returns two nodes of which one is the other's first choice.
func (w *world) liarAndVictim() (liar, victim *node) {
	var records []feed.NodeRecord
	for _, n := range w.nodes {
		records = append(records, n.record)
	}
	for _, n := range w.nodes {
		if best := Candidates(n.record, records, nil)[0]; !n.options.Root && best.Tier != TierRoot {
			return w.nodes[best.Node], n
		}
	}
	w.t.Fatal("there is no relay")
	return nil, nil
}
