package storetest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/wherry/wherry/cache"
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
	key     cache.Key
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
	store   cache.Store
	random  *rand.Rand
	may     map[name]*model
	version int
	did     []string
}

func (m *modelTest) log(format string, args ...any) {
	m.did = append(m.did, fmt.Sprintf(format, args...))
}

func (m *modelTest) step() {
	key := cache.Key("k" + strconv.Itoa(m.random.IntN(modelKeys)))
	switch m.random.IntN(20) {
	case 0:
		m.log("remove %s: %d", key, m.store.Remove(key))
		m.removed(func(k cache.Key) bool { return k == key })
	case 1:
		odd := func(k cache.Key) bool { return k == "k1" || k == "k3" }
		m.log("remove odd: %d", m.store.RemoveFunc(odd))
		m.removed(odd)
	case 2:
		m.log("flood")
		for i := range 40 {
			Insert(m.t, m.store, cache.Key("flood"+strconv.Itoa(m.random.IntN(1e6))), "", i, 50_000)
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

func (m *modelTest) removed(match func(cache.Key) bool) {
	for n := range m.may {
		if match(n.key) {
			delete(m.may, n)
		}
	}
}

// lookup looks whether what is found under key may be.
func (m *modelTest) lookup(key cache.Key) []*cache.Response {
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
func (m *modelTest) replace(key cache.Key) {
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

// testConcurrent has many do everything at once. What was inserted before a removal began isn't found by a look-up that begins after it
// has returned, and what was inserted before another of its kind isn't found after that.
func testConcurrent(t *testing.T, s Subject) {
	const workers, rounds = 8, 300
	store := s.Open(t, modelMemory, modelObject)
	var version atomic.Int64
	names := map[name]*contested{}
	floors := map[cache.Key]*atomic.Int64{} // what was inserted up to here is removed
	for i := range modelKeys {
		key := cache.Key("k" + strconv.Itoa(i))
		floors[key] = new(atomic.Int64)
		for _, variant := range variants[:2] {
			names[name{key, variant}] = new(contested)
		}
	}
	// begun returns a version that all inserted ones are up to, and no later one.
	begun := func(key cache.Key) int64 {
		for _, variant := range variants[:2] {
			names[name{key, variant}].mu.Lock()
			defer names[name{key, variant}].mu.Unlock()
		}
		return version.Load()
	}
	raise := func(floor *atomic.Int64, to int64) {
		for was := floor.Load(); was < to && !floor.CompareAndSwap(was, to); was = floor.Load() {
		}
	}
	work := func(random *rand.Rand) {
		key, variant := cache.Key("k"+strconv.Itoa(random.IntN(modelKeys))), variants[random.IntN(2)]
		of := names[name{key, variant}]
		switch random.IntN(12) {
		case 0:
			at := begun(key)
			store.Remove(key)
			raise(floors[key], at)
		case 1:
			at := begun(key)
			store.RemoveFunc(func(k cache.Key) bool { return k == key })
			raise(floors[key], at)
		case 2, 3:
			of.mu.Lock()
			n := version.Add(1)
			if Insert(t, store, key, variant, int(n), sizes[random.IntN(len(sizes))]) != nil {
				of.version.Store(n)
			}
			of.mu.Unlock()
		case 4:
			Insert(t, store, cache.Key("flood"+strconv.Itoa(random.IntN(1000))), "", 1, 100_000)
		case 5:
			for _, r := range store.Lookup(key) {
				n, _ := strconv.Atoi(r.Header.Get("Version"))
				store.Replace(r, Renewed(t, r, n))
			}
		default:
			removed := floors[key].Load()
			newest := map[string]int64{}
			for _, v := range variants[:2] {
				newest[v] = names[name{key, v}].version.Load()
			}
			for _, r := range store.Lookup(key) {
				f := Read(key, r)
				switch n := int64(f.BodyVersion); {
				case f.Unreadable != nil && s.Fails:
				case f.Unreadable != nil || f.Wrong != "":
					t.Errorf("%s: %s %v", key, f.Wrong, f.Unreadable)
				case n <= removed:
					t.Errorf("%s|%s: version %d is found, all up to %d were removed before", key, f.Variant, n, removed)
				case n < newest[f.Variant]:
					t.Errorf("%s|%s: version %d (head %d) is found, %d was stored before", key, f.Variant, n, f.Version, newest[f.Variant])
				}
			}
		}
	}
	var group sync.WaitGroup
	for worker := range uint64(workers) {
		group.Go(func() {
			random := rand.New(rand.NewPCG(7, worker))
			for i := 0; i < rounds && !t.Failed(); i++ {
				work(random)
			}
		})
	}
	group.Wait()
	store.RemoveFunc(func(cache.Key) bool { return true })
	if u := store.Usage(); u.Responses != 0 || u.Bytes != 0 {
		t.Errorf("all is removed, and there is %+v", u)
	}
}
