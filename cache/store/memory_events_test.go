package store

import (
	"slices"
	"strconv"
	"testing"
	"time"
)

func watched(t *testing.T, bytesMax int64) (m *Memory, second, evicted *[]string) {
	t.Helper()
	m, err := NewMemory(bytesMax, bytesMax)
	if err != nil {
		t.Fatal(err)
	}
	second, evicted = new([]string), new([]string)
	m.Watch(MemoryEvents{
		Second:  func(r *Response) { *second = append(*second, content(t, r.Body)) },
		Evicted: func(r *Response) { *evicted = append(*evicted, content(t, r.Body)) },
	})
	return m, second, evicted
}

func TestMemoryTellsOfTheSecondRequest(t *testing.T) {
	m, second, _ := watched(t, 1<<20)
	expect := func(when string, want ...string) {
		t.Helper()
		if !slices.Equal(*second, want) {
			t.Errorf("%s: told of %q, want %q", when, *second, want)
		}
		*second = nil
	}
	m.Lookup("a")
	m.Insert(object(t, m, "a", "one"))
	expect("inserted")
	m.Lookup("b")
	expect("another looked up")
	m.Lookup("a")
	expect("looked up", "one")
	m.Lookup("a")
	expect("looked up again")
	m.Insert(object(t, m, "a", "two"))
	m.Insert(object(t, m, "a", "variant", "X", "1"))
	m.Lookup("a")
	expect("two more inserted", "two", "variant")
	m.Insert(object(t, m, "a", "three"))
	m.Insert(object(t, m, "a", "four"))
	m.Lookup("a")
	expect("one replaced unasked", "four")
	old := object(t, m, "a", "five")
	m.Insert(old)
	m.Replace(old, old.Freshened(fields("Date", at(time.Second)), received, received))
	m.Lookup("a")
	expect("validated unasked", "five")
}

func TestMemoryTellsOfEvicted(t *testing.T) {
	m, _, evicted := watched(t, 64<<10)
	m.Insert(object(t, m, "removed", "removed"))
	m.Remove("removed")
	m.Insert(object(t, m, "replaced", "replaced"))
	m.Insert(object(t, m, "replaced", "0"))
	for i := range 100 {
		m.Insert(object(t, m, Key(strconv.Itoa(i)), strconv.Itoa(i)))
	}
	if n := m.Usage().Evictions; int64(len(*evicted)) != n || n == 0 {
		t.Errorf("told of %d responses, %d were evicted", len(*evicted), n)
	}
	if slices.Contains(*evicted, "removed") || slices.Contains(*evicted, "replaced") {
		t.Error("told of what was removed or replaced")
	}
}

// foreignBody stands for a body in a file.
type foreignBody struct {
	memoryBody
	discarded bool
}

func (b *foreignBody) Discard() { b.discarded = true }

// rebodied returns r with another body.
func rebodied(r *Response, body Body) *Response {
	swapped := *r
	swapped.Body = body
	return &swapped
}

func TestSwap(t *testing.T) {
	m, err := NewMemory(1<<20, 1<<18)
	if err != nil {
		t.Fatal(err)
	}
	old := object(t, m, "a", numbered(100_000))
	m.Insert(old)
	m.Insert(object(t, m, "a", "other", "X", "1"))
	body := &foreignBody{}
	before := m.Usage().Bytes
	if !m.Swap(old, rebodied(old, body)) {
		t.Fatal("refused")
	}
	if given := before - m.Usage().Bytes; given < 100_000 {
		t.Errorf("%d bytes given back of 100000", given)
	}
	found := m.Peek("a")
	if len(found) != 2 || found[1].Body != body || found[1].Status != old.Status || found[1].Header.Get("Date") == "" {
		t.Errorf("%+v", found)
	}
	if content(t, old.Body) != numbered(100_000) {
		t.Error("who reads the old body loses it")
	}
	if m.Swap(old, rebodied(old, &foreignBody{})) {
		t.Error("a response that is gone has got another body")
	}
	if !m.Swap(found[1], nil) || !body.discarded {
		t.Error("it isn't dropped")
	}
	expectContents(t, m, "a", "other")
	if m.Swap(found[0], nil); m.Peek("a") != nil {
		t.Error("the last one of a key isn't dropped")
	}
	if m.Swap(found[0], found[0]) {
		t.Error("a key that is gone has come back")
	}
	expectNothingCharged(t, m)
}

func TestSweep(t *testing.T) {
	m, second, _ := watched(t, 1<<20)
	for _, key := range []Key{"a", "b", "not"} {
		m.Insert(object(t, m, key, string(key)+"1"))
		m.Insert(object(t, m, key, string(key)+"2", "X", "1"))
	}
	m.Sweep(func(k Key) bool { return k != "not" }, func(r *Response) *Response {
		if r.Key == "a" || r.Header["Vary"] != nil {
			return nil
		}
		return rebodied(r, r.Body)
	})
	expectContents(t, m, "a")
	expectContents(t, m, "b", "b1")
	expectContents(t, m, "not", "not2", "not1")
	if slices.Sort(*second); !slices.Equal(*second, []string{"b1", "not1", "not2"}) {
		t.Errorf("told of %q", *second)
	}
	m.RemoveFunc(func(Key) bool { return true })
	expectNothingCharged(t, m)
}

// TestSwapToBodiesElsewhere: a response whose body is elsewhere takes no more room in the store than its header, so many more are kept.
func TestSwapToBodiesElsewhere(t *testing.T) {
	m, err := NewMemory(1<<20, 1<<18)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		r := object(t, m, Key(strconv.Itoa(i)), numbered(50_000))
		m.Insert(r)
		if !m.Swap(r, rebodied(r, &foreignBody{})) {
			t.Fatal("refused")
		}
	}
	if u := m.Usage(); u.Responses != 200 || u.Evictions != 0 {
		t.Errorf("%+v", u)
	}
	if q := &m.queues; q.small.bytes+q.main.bytes != m.Usage().Bytes {
		t.Errorf("the queues hold %d bytes, the store %d", q.small.bytes+q.main.bytes, m.Usage().Bytes)
	}
	m.RemoveFunc(func(Key) bool { return true })
	expectNothingCharged(t, m)
	if q := &m.queues; q.small.bytes+q.main.bytes != 0 || q.small.count+q.main.count != 0 {
		t.Errorf("the queues of an empty store: %d bytes, %d entries", q.small.bytes+q.main.bytes, q.small.count+q.main.count)
	}
}
