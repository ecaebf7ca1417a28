package kv

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"
)

// world is a control and edges that lose, repeat and reorder what they say to each other.
type world struct {
	t     *testing.T
	r     *rand.Rand
	now   int64
	lead  *machine // control's
	pages []*Page  // what it has ordered; the first has number 1
	snaps [Shards + 1]*Page
	edges []*testEdge
	wire  []*Batch
	sums  map[string]int64 // of adds, by key
}

type testEdge struct {
	*machine
	name string
	disk []frame // its log; what comes after synced may be lost
	sync int
	own  map[string]string // what it has written under keys that are its own
}

type frame struct {
	kind byte
	data []byte
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 1)), now: 1_000_000, lead: newMachine(""), sums: map[string]int64{}}
	w.lead.salt = [8]byte{1, 2, 3}
	for i := range 4 {
		e := &testEdge{machine: newMachine(fmt.Sprintf("edge-%d/0", i)), name: fmt.Sprintf("edge-%d", i), own: map[string]string{}}
		w.edges = append(w.edges, e)
	}
	return w
}

func (w *world) write(e *testEdge) {
	key := fmt.Sprintf("shared-%d", w.r.IntN(5))
	o := &Op{Kind: OpPut, Namespace: "n", Key: key, Value: fmt.Appendf(nil, "%s %d", e.name, e.next), At: w.now}
	switch w.r.IntN(6) {
	case 0:
		o.Kind, o.Value = OpDelete, nil
	case 1:
		o.Expires = w.now + int64(w.r.IntN(5000))
	case 2, 3:
		o.Kind, o.Value, o.Delta, o.Key = OpAdd, nil, int64(w.r.IntN(9)-3), fmt.Sprintf("counter-%d", w.r.IntN(3))
		w.sums[o.Key] += o.Delta
	case 4:
		o.Key = e.name
		e.own[o.Key] = string(o.Value)
	case 5:
		o.Kind, o.Value, o.Delta, o.Key = OpAdd, nil, 1, e.name+"-count"
		n, _ := strconv.Atoi(e.own[o.Key])
		e.own[o.Key] = strconv.Itoa(n + 1)
	}
	e.push(o)
	e.disk = append(e.disk, frame{'O', o.append(nil)})
	e.sync = len(e.disk)
}

func (w *world) send(e *testEdge) {
	if b := e.batch(e.marks[e.origin].Last); b != nil {
		b.Ops = b.Ops[:1+w.r.IntN(len(b.Ops))]
		parsed, err := ParseBatch(b.Append(nil))
		if err != nil {
			w.t.Fatal(err)
		}
		w.wire = append(w.wire, parsed)
	}
}

// order has control order what has come, in any order; some of it comes again later.
func (w *world) order() {
	w.r.Shuffle(len(w.wire), func(i, j int) { w.wire[i], w.wire[j] = w.wire[j], w.wire[i] })
	n := w.r.IntN(len(w.wire) + 1)
	l := Limits{}.withDefaults()
	p, _, dropped := w.lead.order(w.wire[:n], w.now, &l)
	if dropped > 0 {
		w.t.Fatalf("%d writes were dropped", dropped)
	}
	p, err := ParsePage(p.Append(nil))
	if err != nil {
		w.t.Fatal(err)
	}
	if !w.lead.take(p) {
		w.t.Fatal("control's own page isn't its next")
	}
	w.pages = append(w.pages, p)
	var again []*Batch
	for _, b := range w.wire {
		if w.r.IntN(3) == 0 {
			again = append(again, b)
		}
	}
	w.wire = again
	i := w.r.IntN(Shards + 1)
	w.snaps[i] = w.lead.shard(i)
}

func (w *world) deliver(e *testEdge, n int) {
	for ; n > 0 && int(e.seq) < len(w.pages); n-- {
		p := w.pages[e.seq]
		if !e.take(p) {
			w.t.Fatalf("%s: page %d isn't the next after %d", e.name, p.Seq, e.seq)
		}
		e.disk = append(e.disk, frame{'P', p.Append(nil)})
	}
}

// reload is an edge that takes all anew, from shards of any age and all pages.
func (w *world) reload(e *testEdge) {
	state := build(e.epoch, w.snaps, w.pages)
	e.adopt(state, e.origin)
	e.persist()
}

// persist is a new state on the edge's disk.
func (e *testEdge) persist() {
	f := e.freeze(true)
	p := Page{Salt: f.head.salt, Seq: f.head.seq, At: f.head.at, Marks: f.marks, Sets: f.sets}
	e.disk = []frame{{'S', p.Append(nil)}}
	for _, o := range f.pending {
		e.disk = append(e.disk, frame{'O', o.append(nil)})
	}
	e.sync = len(e.disk)
}

// crash loses what isn't synced, and starts again.
func (w *world) crash(e *testEdge) {
	e.disk = e.disk[:e.sync+w.r.IntN(len(e.disk)-e.sync+1)]
	next := newMachine(e.origin)
	for _, f := range e.disk {
		if f.kind == 'S' {
			p, err := ParsePage(f.data)
			if err != nil {
				w.t.Fatal(err)
			}
			next = build(e.epoch, [Shards + 1]*Page{}, []*Page{p})
			next.origin, next.next = e.origin, next.marks[e.origin].Last+1
			continue
		}
		if err := next.replay(f.kind, f.data); err != nil {
			w.t.Fatal(err)
		}
	}
	e.machine = next
}

func (w *world) checkOwn(e *testEdge) {
	w.t.Helper()
	for key, want := range e.own {
		if r := e.find("n", key, w.now); r == nil || string(r.Value) != want {
			w.t.Fatalf("%s has written %q under %s, and sees %v", e.name, want, key, r)
		}
	}
	if e.outbox != sizeOf(e.pending) {
		w.t.Fatalf("%s: the outbox has %d bytes, not %d", e.name, sizeOf(e.pending), e.outbox)
	}
}

func sizeOf(ops []*Op) (n int64) {
	for _, o := range ops {
		n += o.size()
	}
	return n
}

// contents is all that a machine shows at a time.
func (m *machine) contents(now int64) map[string]string {
	all := map[string]string{}
	for _, s := range m.spaces {
		for key, e := range s.keys {
			if e.view.live(now) {
				all[s.name+" "+key] = fmt.Sprintf("%s until %d", e.view.Value, e.view.Expires)
			}
		}
	}
	return all
}

func checkUsage(t *testing.T, m *machine) {
	t.Helper()
	var ordered, view, claimed usage
	for _, s := range m.spaces {
		for key, e := range s.keys {
			ordered.add(key, e.ordered, 1)
			view.add(key, e.view, 1)
			claimed = claimed.plus(e.claimed)
			for _, o := range e.pending {
				if u := o.claims(); u.keys > e.claimed.keys || u.bytes > e.claimed.bytes {
					t.Fatalf("%s claims %v, and a write of %v waits", key, e.claimed, u)
				}
			}
			if len(e.pending) == 0 && e.claimed != (usage{}) {
				t.Fatalf("%s claims %v, and nothing waits", key, e.claimed)
			}
		}
	}
	if ordered != m.ordered || view != m.view || claimed != m.claimed {
		t.Fatalf("counted %v, %v and %v, there are %v, %v and %v", m.ordered, m.view, m.claimed, ordered, view, claimed)
	}
}

// Whatever is lost, repeated, reordered and restarted: an edge sees what it has written, and when all has arrived, all have the same, and all adds count.
func TestConvergence(t *testing.T) {
	for seed := range uint64(60) {
		w := newWorld(t, seed)
		for range 400 {
			w.now += int64(w.r.IntN(200))
			e := w.edges[w.r.IntN(len(w.edges))]
			switch w.r.IntN(12) {
			case 0, 1, 2, 3:
				w.write(e)
			case 4, 5:
				w.send(e)
			case 6, 7:
				w.order()
			case 8, 9:
				w.deliver(e, 1+w.r.IntN(4))
			case 10:
				w.crash(e)
			case 11:
				if w.r.IntN(3) == 0 {
					w.reload(e)
				} else {
					e.persist()
				}
			}
			w.checkOwn(e)
		}
		for range 1000 {
			left := 0
			for _, e := range w.edges {
				w.send(e)
				left += len(e.pending)
			}
			w.order()
			for _, e := range w.edges {
				w.deliver(e, len(w.pages))
			}
			if left == 0 {
				break
			}
		}
		want := w.lead.contents(w.now)
		for _, e := range append(w.edges, &testEdge{machine: build(0, w.snaps, w.pages), name: "a new one"}) {
			if got := e.contents(w.now); !maps.Equal(got, want) {
				t.Fatalf("seed %d: %s has %v, control %v", seed, e.name, got, want)
			}
			checkUsage(t, e.machine)
			if len(e.pending) > 0 {
				t.Fatalf("seed %d: %s has %d writes that aren't ordered", seed, e.name, len(e.pending))
			}
		}
		for key, sum := range w.sums {
			if r := w.lead.find("n", key, w.now); r == nil || string(r.Value) != strconv.FormatInt(sum, 10) {
				t.Fatalf("seed %d: %s is %v, the sum of all adds is %d", seed, key, r, sum)
			}
		}
	}
}

// A restored backup begins another epoch: what an edge had ordered after it is gone, what wasn't ordered is ordered then, once.
func TestAnotherEpoch(t *testing.T) {
	l := Limits{}.withDefaults()
	lead, edge := newMachine(""), newMachine("edge/1")
	var pages []*Page
	order := func(now int64) {
		p, wrong, _ := lead.order([]*Batch{edge.batch(edge.marks[edge.origin].Last)}, now, &l)
		if wrong[0] != nil {
			t.Fatal(wrong[0])
		}
		lead.take(p)
		pages = append(pages, p)
	}
	add := func(n int64) { edge.push(&Op{Kind: OpAdd, Namespace: "n", Key: "c", Delta: n, At: 1}) }
	add(1)
	order(1)
	edge.take(pages[0])
	backup := slices.Clone(pages)
	add(10)
	order(2)
	edge.take(pages[1])
	add(100)

	lead, pages = build(2, [Shards + 1]*Page{}, backup), backup
	edge.adopt(build(2, [Shards + 1]*Page{}, backup), "edge/2")
	if r := edge.find("n", "c", 1); string(r.Value) != "101" {
		t.Fatalf("after the restore the edge sees %s", r.Value)
	}
	order(3)
	edge.take(pages[1])
	if r := lead.find("n", "c", 3); string(r.Value) != "101" || len(edge.pending) != 0 {
		t.Errorf("control has %s, and %d writes are left", r.Value, len(edge.pending))
	}
}

// Control drops what would go over what a node may have in memory, and what has expired.
func TestControlsBounds(t *testing.T) {
	l := Limits{Keys: 2, Node: 4 * (entryBytes + 2)}.withDefaults()
	lead := newMachine("")
	b := &Batch{Origin: "edge/1"}
	for i := range 6 {
		b.Ops = append(b.Ops, &Op{N: uint64(i + 1), Kind: OpPut, Namespace: "n", Key: strconv.Itoa(i), Value: []byte("v"), Expires: 1000})
	}
	p, _, dropped := lead.order([]*Batch{b}, 1, &l)
	if dropped != 2 || len(p.Sets) != 4 || len(p.Marks) != 1 || p.Marks[0].Last != 6 {
		t.Fatalf("%d dropped, page %+v", dropped, p)
	}
	lead.take(p)
	if lead.isDue(time.UnixMilli(999)) || !lead.isDue(time.UnixMilli(1000)) {
		t.Error("what expires isn't due when it expires")
	}
	p, _, _ = lead.order(nil, 1000, &l)
	lead.take(p)
	if len(lead.spaces) != 0 || lead.ordered != (usage{}) {
		t.Errorf("what has expired is still there: %+v", lead.ordered)
	}
	if _, wrong, _ := lead.order([]*Batch{{"edge/1", []*Op{{N: 8, Kind: OpDelete, Namespace: "n", Key: "a"}}}}, 1000, &l); wrong[0] != ErrGap {
		t.Errorf("a gap is %v", wrong[0])
	}
}
