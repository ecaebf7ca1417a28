package storetest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wherry/wherry/cache/store"
)

const (
	modelMemory = 1 << 20
	modelObject = 640 << 10
	modelKeys   = 4
	modelRounds = 8
	modelSteps  = 400
)

// sizes of bodies: what a store with a disk keeps in memory, and what it doesn't.
var sizes = [...]int{0, 1000, 20_000, 300_000}

// model is what may be found of a response.
type model struct {
	body  int          // the version that was stored last; 0 if none may be found
	heads map[int]bool // and what its head may be
}

type name struct {
	key     store.Key
	variant string
}

// testModel does one thing after the other at random, with little memory, and looks whether all that is found may be.
func testModel(t *testing.T, s Subject) {
	for seed := range uint64(modelRounds) {
		random := rand.New(rand.NewPCG(seed, 1))
		m := modelTest{t: t, s: s, store: s.Open(t, modelMemory, modelObject), random: random, may: map[name]*model{}}
		for range modelSteps {
			if m.step(); t.Failed() {
				t.Fatalf("seed %d:\n%s", seed, strings.Join(m.did[max(0, len(m.did)-30):], "\n"))
			}
		}
	}
}

type modelTest struct {
	t       *testing.T
	s       Subject
	store   store.Store
	random  *rand.Rand
	may     map[name]*model
	version int
	did     []string
}

func (m *modelTest) log(format string, args ...any) {
	m.did = append(m.did, fmt.Sprintf(format, args...))
}

func (m *modelTest) step() {
	key := store.Key("k" + strconv.Itoa(m.random.IntN(modelKeys)))
	switch m.random.IntN(20) {
	case 0:
		m.log("remove %s: %d", key, m.store.Remove(key))
		m.removed(func(k store.Key) bool { return k == key })
	case 1:
		odd := func(k store.Key) bool { return k == "k1" || k == "k3" }
		m.log("remove odd: %d", m.store.RemoveFunc(odd))
		m.removed(odd)
	case 2:
		m.log("flood")
		for i := range 40 {
			Insert(m.t, m.store, store.Key("flood"+strconv.Itoa(m.random.IntN(1e6))), "", i, 50_000)
		}
	case 3, 4, 5, 6:
		m.version++
		variant := variants[m.random.IntN(len(variants))]
		size := sizes[m.random.IntN(len(sizes))]
		if Insert(m.t, m.store, key, variant, m.version, size) == nil {
			break
		}
		m.log("insert %s|%s version %d of %d bytes", key, variant, m.version, size)
		m.may[name{key, variant}] = &model{m.version, map[int]bool{m.version: true}}
	case 7, 8:
		m.replace(key)
	default:
		m.lookup(key)
	}
}

func (m *modelTest) removed(match func(store.Key) bool) {
	for n := range m.may {
		if match(n.key) {
			delete(m.may, n)
		}
	}
}

// lookup looks whether what is found under key may be.
func (m *modelTest) lookup(key store.Key) []*store.Response {
	responses := m.store.Lookup(key)
	seen := map[string]bool{}
	for _, r := range responses {
		f := Read(key, r)
		m.log("found %s|%s head %d body %d of %d bytes %v", key, f.Variant, f.Version, f.BodyVersion, len(f.Body), f.Unreadable)
		may := m.may[name{key, f.Variant}]
		switch {
		case f.Unreadable != nil && m.s.Fails:
		case f.Unreadable != nil || f.Wrong != "":
			m.t.Errorf("%s: %s %v", key, f.Wrong, f.Unreadable)
		case may == nil:
			m.t.Errorf("%s|%s: version %d is found, which was removed", key, f.Variant, f.BodyVersion)
		case may.body != f.BodyVersion || !may.heads[f.Version]:
			m.t.Errorf("%s|%s: head %d and body %d are found, may be: %+v", key, f.Variant, f.Version, f.BodyVersion, may)
		}
		if seen[f.Variant] {
			m.t.Errorf("%s|%s is found twice", key, f.Variant)
		}
		seen[f.Variant] = true
	}
	return responses
}

// replace renews one of the responses under key. Where the store has dropped it meanwhile, that does nothing.
func (m *modelTest) replace(key store.Key) {
	responses := m.lookup(key)
	if len(responses) == 0 {
		return
	}
	old := responses[m.random.IntN(len(responses))]
	m.version++
	variant := variantOf(old)
	m.store.Replace(old, Renewed(m.t, old, m.version))
	m.log("replace %s|%s by version %d", key, variant, m.version)
	may := m.may[name{key, variant}]
	may.heads[m.version] = true
	for _, r := range m.store.Peek(key) {
		if r.Header.Get("Version") == strconv.Itoa(m.version) {
			may.heads = map[int]bool{m.version: true}
		}
	}
}

// contested is what is known of a response that many change at once.
type contested struct {
	mu      sync.Mutex   // held by who inserts
	version atomic.Int64 // the one that was inserted last; what is found later is as new
}

// contest is a store that many do everything to at once.
type contest struct {
	t       *testing.T
	s       Subject
	store   store.Store
	version atomic.Int64
	names   map[name]*contested
	floors  map[store.Key]*atomic.Int64 // what was inserted up to here is removed
}

// testConcurrent has many do everything at once. What was inserted before a removal began isn't found by a look-up that begins after it
// has returned, and what was inserted before another of its kind isn't found after that.
func testConcurrent(t *testing.T, s Subject) {
	const workers, rounds = 8, 300
	c := &contest{
		t: t, s: s, store: s.Open(t, modelMemory, modelObject), names: map[name]*contested{}, floors: map[store.Key]*atomic.Int64{},
	}
	for i := range modelKeys {
		key := store.Key("k" + strconv.Itoa(i))
		c.floors[key] = new(atomic.Int64)
		for _, variant := range variants[:2] {
			c.names[name{key, variant}] = new(contested)
		}
	}
	var group sync.WaitGroup
	for worker := range uint64(workers) {
		group.Go(func() {
			random := rand.New(rand.NewPCG(7, worker))
			for i := 0; i < rounds && !t.Failed(); i++ {
				c.step(random)
			}
		})
	}
	group.Wait()
	c.store.RemoveFunc(func(store.Key) bool { return true })
	if u := c.store.Usage(); u.Responses != 0 || u.Bytes != 0 {
		t.Errorf("all is removed, and there is %+v", u)
	}
}

func (c *contest) step(random *rand.Rand) {
	key, variant := store.Key("k"+strconv.Itoa(random.IntN(modelKeys))), variants[random.IntN(2)]
	switch random.IntN(12) {
	case 0:
		c.remove(key, func() { c.store.Remove(key) })
	case 1:
		c.remove(key, func() { c.store.RemoveFunc(func(k store.Key) bool { return k == key }) })
	case 2, 3:
		of := c.names[name{key, variant}]
		of.mu.Lock()
		defer of.mu.Unlock()
		n := c.version.Add(1)
		if Insert(c.t, c.store, key, variant, int(n), sizes[random.IntN(len(sizes))]) != nil {
			of.version.Store(n)
		}
	case 4:
		Insert(c.t, c.store, store.Key("flood"+strconv.Itoa(random.IntN(1000))), "", 1, 100_000)
	case 5:
		for _, r := range c.store.Lookup(key) {
			n, _ := strconv.Atoi(r.Header.Get("Version"))
			c.store.Replace(r, Renewed(c.t, r, n))
		}
	default:
		c.lookup(key)
	}
}

// remove calls do, and then raises the floor of key to what was inserted before.
func (c *contest) remove(key store.Key, do func()) {
	to := c.inserted(key)
	do()
	floor := c.floors[key]
	for was := floor.Load(); was < to && !floor.CompareAndSwap(was, to); was = floor.Load() {
	}
}

// inserted returns a version that all inserted ones of key are up to, and no later one.
func (c *contest) inserted(key store.Key) int64 {
	for _, variant := range variants[:2] {
		of := c.names[name{key, variant}]
		of.mu.Lock()
		defer of.mu.Unlock()
	}
	return c.version.Load()
}

func (c *contest) lookup(key store.Key) {
	removed := c.floors[key].Load()
	newest := map[string]int64{}
	for _, v := range variants[:2] {
		newest[v] = c.names[name{key, v}].version.Load()
	}
	for _, r := range c.store.Lookup(key) {
		f := Read(key, r)
		switch n := int64(f.BodyVersion); {
		case f.Unreadable != nil && c.s.Fails:
		case f.Unreadable != nil || f.Wrong != "":
			c.t.Errorf("%s: %s %v", key, f.Wrong, f.Unreadable)
		case n <= removed:
			c.t.Errorf("%s|%s: version %d is found, all up to %d were removed before", key, f.Variant, n, removed)
		case n < newest[f.Variant]:
			c.t.Errorf("%s|%s: version %d (head %d) is found, %d was stored before", key, f.Variant, n, f.Version, newest[f.Variant])
		}
	}
}
