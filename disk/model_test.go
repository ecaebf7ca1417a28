package disk

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestModel holds a store on two volumes against a map, while it is put to, removed from, evicted, reopened, killed and cut at random.
// The store may have less than the model (it evicts), never something else: nothing replaced, nothing removed, nothing torn.
func TestModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := &model{t: t, r: r, fs: newMemFS(), want: map[string]map[string]uint64{}}
		m.open()
		defer func() { m.store.end() }()
		r.Repeat(map[string]func(*rapid.T){
			"put":      m.put,
			"fill":     m.fill,
			"head":     m.head,
			"remove":   m.remove,
			"function": m.removeFunc,
			"restart":  m.restart,
			"kill":     m.kill,
			"down":     m.down,
			"":         m.check,
		})
	})
}

type model struct {
	t     *testing.T
	r     *rapid.T
	fs    *memFS
	store *harness
	seed  uint64
	want  map[string]map[string]uint64 // key, variant: seed
	// sure is how many puts ago the model began to know what has to be there: until then something may be evicted.
	evictions int64
}

func (m *model) open() {
	m.store = run(m.t, small(m.fs, "a", "b"))
	m.evictions = 0
	m.store.settled()
}

func (m *model) key(r *rapid.T) string {
	return fmt.Sprint("k", rapid.IntRange(0, 8).Draw(r, "key"))
}

func (m *model) put(r *rapid.T) {
	key, variant := m.key(r), rapid.SampledFrom([]string{"", "x"}).Draw(r, "variant")
	m.putSized(key, variant, rapid.IntRange(0, 20000).Draw(r, "size"))
}

func (m *model) putSized(key, variant string, size int) {
	m.seed++
	if _, err := m.store.put(draft(key, variant, m.seed, size)); err != nil {
		m.r.Fatalf("put: %v", err)
	}
	if m.want[key] == nil {
		m.want[key] = map[string]uint64{}
	}
	m.want[key][variant] = m.seed
}

// fill puts so much that segments are evicted.
func (m *model) fill(r *rapid.T) {
	for i := range rapid.IntRange(1, 60).Draw(r, "puts") {
		m.putSized(fmt.Sprint("fill", i), "", 9000)
	}
}

func (m *model) head(r *rapid.T) {
	key := m.key(r)
	blobs, err := m.store.Get(key)
	if err != nil {
		r.Fatal(err)
	}
	for _, b := range blobs {
		m.store.SetHead(b, append(b.Head, '+'), nil)
	}
	m.store.settled()
}

func (m *model) remove(r *rapid.T) {
	key := m.key(r)
	if _, err := m.store.Remove(key); err != nil {
		r.Fatal(err)
	}
	delete(m.want, key)
}

func (m *model) removeFunc(r *rapid.T) {
	end := rapid.SampledFrom([]string{"1", "2", "3"}).Draw(r, "end")
	match := func(key string) bool { return strings.HasSuffix(key, end) }
	if _, err := m.store.RemoveFunc(match); err != nil {
		r.Fatal(err)
	}
	for key := range m.want {
		if match(key) {
			delete(m.want, key)
		}
	}
}

func (m *model) restart(r *rapid.T) {
	if err := m.store.end(); err != nil {
		r.Fatal(err)
	}
	m.open()
}

// kill takes what is in the files now, perhaps with half a record behind the last one.
func (m *model) kill(r *rapid.T) {
	fs := m.fs.killed()
	for _, name := range fs.segments() {
		if f := fs.files[name]; rapid.IntRange(0, 2).Draw(r, "tail") == 0 {
			f.data = append(f.data, rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(r, "junk")...)
		}
	}
	if err := m.store.end(); err != nil {
		r.Fatal(err)
	}
	m.fs = fs
	m.open()
}

// down has one volume fail for some puts, so that keys move to the other and back.
func (m *model) down(r *rapid.T) {
	v := m.store.volumes[rapid.IntRange(0, 1).Draw(r, "volume")]
	v.health.mu.Lock()
	v.health.state, v.health.retryAt, v.health.backoff = Failing, v.now().Add(backoffMax), backoffMax
	v.health.mu.Unlock()
	for range rapid.IntRange(1, 4).Draw(r, "puts") {
		m.putSized(m.key(r), "", 3000)
	}
	// It comes back with the next look at the time.
	v.health.mu.Lock()
	v.health.retryAt = v.now()
	v.health.mu.Unlock()
	v.queue.poke()
	m.store.settled()
}

func (m *model) check(r *rapid.T) {
	evicted := m.store.Usage().Evictions > m.evictions
	for i := range 9 {
		key := fmt.Sprint("k", i)
		blobs, err := m.store.Get(key)
		if err != nil {
			r.Fatalf("get %s: %v", key, err)
		}
		got := map[string]uint64{}
		for _, b := range blobs {
			seed, err := verify(b)
			if err != nil {
				r.Fatal(err)
			}
			if got[b.Variant] = seed; m.want[key][b.Variant] != seed {
				r.Fatalf("%s %q is %d, the last that was put is %d", key, b.Variant, seed, m.want[key][b.Variant])
			}
		}
		for variant := range m.want[key] {
			if _, ok := got[variant]; !ok && !evicted {
				r.Fatalf("%s %q is gone, and nothing was evicted", key, variant)
			} else if !ok {
				// Evicted: it must not come back either.
				delete(m.want[key], variant)
			}
		}
	}
	m.evictions = m.store.Usage().Evictions
	if u := m.store.Usage(); u.Bytes > u.BytesMax {
		r.Fatalf("%d bytes of %d", u.Bytes, u.BytesMax)
	}
}
