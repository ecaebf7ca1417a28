package kv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// testFeed is a control, and the feed that brings what it has ordered.
type testFeed struct {
	mu      sync.Mutex // protects what follows
	lead    *machine
	docs    Docs
	objects map[Name][]byte
	changed chan struct{}
	away    error // why control can't be reached
}

func newTestFeed() *testFeed {
	return &testFeed{lead: newMachine(""), docs: Docs{Epoch: 1, Pages: map[uint64]Name{}}, objects: map[Name][]byte{}, changed: make(chan struct{})}
}

var _ Source = (*testFeed)(nil)

func (f *testFeed) Docs() Docs {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.docs
	d.Pages = maps.Clone(d.Pages)
	return d
}

func (f *testFeed) CaughtUp() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.away == nil
}

func (f *testFeed) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

func (f *testFeed) Object(_ context.Context, n Name) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if data, ok := f.objects[n]; ok {
		return data, f.away
	}
	return nil, errors.New("no such object")
}

func (f *testFeed) put(p *Page) Name {
	n := Name{byte(len(f.objects)), byte(len(f.objects) >> 8), 1}
	f.objects[n] = p.Append(nil)
	return n
}

func (f *testFeed) send(_ context.Context, data []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away != nil {
		return &SendError{Err: f.away}
	}
	b, err := ParseBatch(data)
	if err != nil {
		return err
	}
	l := Limits{}.withDefaults()
	p, wrong, _ := f.lead.order([]*Batch{b}, time.Now().UnixMilli(), &l)
	if wrong[0] != nil {
		return &SendError{Gap: errors.Is(wrong[0], ErrGap), Err: wrong[0]}
	}
	f.lead.take(p)
	f.docs.Pages[p.Seq] = f.put(p)
	close(f.changed)
	f.changed = make(chan struct{})
	return nil
}

// compact has the feed name shards instead of pages.
func (f *testFeed) compact() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.docs.Shards {
		f.docs.Shards[i] = f.put(f.lead.shard(i))
	}
	for n := range f.docs.Pages {
		if n < f.lead.seq {
			delete(f.docs.Pages, n)
		}
	}
}

func (f *testFeed) leave(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = err
}

func (f *testFeed) open(t *testing.T, dir, node string, more ...func(*Options)) *Store {
	t.Helper()
	o := Options{Dir: dir, Node: node, Source: f, Send: f.send, Log: quiet()}
	for _, m := range more {
		m(&o)
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs a store until the returned function is called, or the test ends.
func run(t *testing.T, s *Store) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

func mustPut(t *testing.T, s *Store, key, value string) {
	t.Helper()
	if _, _, err := s.Put("n", key, []byte(value), 0, Condition{}); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func read(t *testing.T, s *Store, key string) string {
	t.Helper()
	v, ok, err := s.Get("n", key)
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	if !ok {
		return "nothing"
	}
	return string(v.Bytes)
}

func reasonOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return fmt.Sprint(err)
}

// What one edge writes the other has within two seconds; a new edge gets everything, from pages and from shards.
func TestReplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFeed()
		a, b := f.open(t, t.TempDir(), "a"), f.open(t, t.TempDir(), "b")
		if _, _, err := a.Get("n", "x"); reasonOf(err) != "not_ready" {
			t.Errorf("a store that has nothing yet answers %v", err)
		}
		run(t, a)
		run(t, b)
		time.Sleep(followWait)
		synctest.Wait()
		mustPut(t, a, "x", "1")
		if _, err := b.Add("n", "count", 2, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Add("n", "count", 3, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if read(t, b, "x") != "1" || read(t, a, "count") != "5" || read(t, b, "count") != "5" {
			t.Errorf("x is %s, the counters %s and %s", read(t, b, "x"), read(t, a, "count"), read(t, b, "count"))
		}
		f.compact()
		c := f.open(t, t.TempDir(), "c")
		run(t, c)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if read(t, c, "x") != "1" || read(t, c, "count") != "5" {
			t.Errorf("a new edge has %s and %s", read(t, c, "x"), read(t, c, "count"))
		}
	})
}

// Without control an edge reads and writes until its outbox is full; what it took arrives afterwards, once, also from the next process.
func TestWithoutControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFeed()
		dir := t.TempDir()
		small := func(o *Options) { o.Limits.Outbox = 10_000 }
		a := f.open(t, dir, "a", small)
		stop := run(t, a)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		f.leave(errors.New("cut off"))
		taken := 0
		for ; taken < 1000; taken++ {
			if _, err := a.Add("n", "count", 1, 0); err != nil {
				if reasonOf(err) != "outbox" {
					t.Fatalf("write %d: %v", taken, err)
				}
				break
			}
		}
		if taken < 100 || taken == 1000 || read(t, a, "count") != fmt.Sprint(taken) {
			t.Fatalf("%d writes were taken, the edge sees %s", taken, read(t, a, "count"))
		}
		stop()
		if _, _, err := a.Put("n", "x", nil, 0, Condition{}); reasonOf(err) != "closed" {
			t.Errorf("a store that has ended takes writes: %v", err)
		}
		a = f.open(t, dir, "a", small)
		if read(t, a, "count") != fmt.Sprint(taken) {
			t.Errorf("the next process sees %s of %d", read(t, a, "count"), taken)
		}
		run(t, a)
		time.Sleep(time.Minute)
		f.leave(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if r := f.lead.find("n", "count", 0); r == nil || string(r.Value) != fmt.Sprint(taken) {
			t.Errorf("control has %v, %d were acknowledged", r, taken)
		}
		if len(a.m.pending) != 0 {
			t.Errorf("%d writes are still in the outbox", len(a.m.pending))
		}
	})
}

// A crash at any byte of the log loses nothing that was acknowledged before; what is damaged is found.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir, Node: "a", Log: quiet(), Limits: Limits{Burst: 10_000}})
	if err != nil {
		t.Fatal(err)
	}
	var ends []int64
	for i := range 30 {
		mustPut(t, s, "last", fmt.Sprint(i))
		ends = append(ends, s.j.current.size.Load())
	}
	name := filepath.Base(s.j.current.file.Name())
	whole, err := os.ReadFile(s.j.current.file.Name())
	if err != nil {
		t.Fatal(err)
	}
	state, err := os.ReadFile(s.j.path(s.j.generation, stateName))
	if err != nil {
		t.Fatal(err)
	}
	for cut := int64(0); cut <= int64(len(whole)); cut += 17 {
		want := "nothing"
		for i, end := range ends {
			if end <= cut {
				want = fmt.Sprint(i)
			}
		}
		for _, rest := range []string{"", strings.Repeat("\x00", 40), "garbage"} {
			at := t.TempDir()
			for file, data := range map[string][]byte{name: append(whole[:cut:cut], rest...), strings.TrimSuffix(name, logName) + stateName: state} {
				if err := os.WriteFile(filepath.Join(at, file), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			again, err := Open(Options{Dir: at, Node: "a", Log: quiet()})
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, again, "last"); got != want {
				t.Errorf("cut after byte %d of %d, then %q: %s, want %s", cut, len(whole), rest, got, want)
			}
			again.Close()
		}
	}
	s.Close()
}

// A log that gets long is replaced by a state, while writes go on; only the last files stay.
func TestCompaction(t *testing.T) {
	dir := t.TempDir()
	open := func() *Store {
		s, err := Open(Options{Dir: dir, Node: "a", Log: quiet(), Limits: Limits{Rate: 1e9, Burst: 1e9}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	stop := run(t, s)
	value := strings.Repeat("v", 40_000)
	for i := range 400 { // 16 MB
		mustPut(t, s, fmt.Sprint("k", i%10), value+fmt.Sprint(i))
	}
	stop()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var size int64
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if len(files) > 3 || size > 12<<20 {
		t.Errorf("%d files with %d bytes of 400 kB", len(files), size)
	}
	s = open()
	defer s.Close()
	for i := 390; i < 400; i++ {
		if got := read(t, s, fmt.Sprint("k", i%10)); got != value+fmt.Sprint(i) {
			t.Errorf("k%d is lost or old", i%10)
		}
	}
}

// A disk that fails makes writes fail, not the store; when it works again writes are taken.
func TestDiskFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "values")
		s, err := Open(Options{Dir: dir, Node: "a", Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		mustPut(t, s, "x", "1")
		_ = s.j.current.file.Close() // what is written fails from now on
		if _, _, err := s.Put("n", "x", []byte("2"), 0, Condition{}); reasonOf(err) != "disk" {
			t.Fatalf("a write that isn't kept is %v", err)
		}
		if _, _, err := s.Put("n", "y", []byte("2"), 0, Condition{}); reasonOf(err) != "disk" {
			t.Fatalf("the next one is %v", err)
		}
		stop := run(t, s)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		mustPut(t, s, "x", "3")
		stop()
		again, err := Open(Options{Dir: dir, Node: "a", Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if got := read(t, again, "x"); got != "3" {
			t.Errorf("x is %s after the disk was well again", got)
		}
	})
}

// Programs get what Limits give them, and hear which limit it was.
func TestLimits(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	registry := prometheus.NewRegistry()
	s, err := Open(Options{Node: "a", Now: func() time.Time { return now }, Count: registry, Limits: Limits{Bytes: 1000, Keys: 5, Namespaces: 2, Rate: 10, Burst: 20}})
	if err != nil {
		t.Fatal(err)
	}
	put := func(namespace, key string, n int) string {
		now = now.Add(time.Second)
		_, _, err := s.Put(namespace, key, make([]byte, n), 0, Condition{})
		return reasonOf(err)
	}
	for _, c := range []struct {
		namespace, key string
		size           int
		want           string
	}{
		{"n", "", 1, "key"},
		{"n", "a\x00b", 1, "key"},
		{"n", strings.Repeat("k", KeyMax+1), 1, "key"},
		{"n", strings.Repeat("k", KeyMax), 1, "<nil>"},
		{"n", "large", ValueMax + 1, "too_large"},
		{"n", "a", 400, "<nil>"},
		{"n", "b", 100, "quota"},
		{"n", "a", 380, "<nil>"}, // less than before always has room
		{"m", "1", 1, "<nil>"},
		{"m", "2", 1, "<nil>"},
		{"m", "3", 1, "<nil>"},
		{"m", "4", 1, "<nil>"},
		{"m", "5", 1, "<nil>"},
		{"m", "6", 1, "quota"},
		{"o", "1", 1, "quota"},
	} {
		if got := put(c.namespace, c.key, c.size); got != c.want {
			t.Errorf("%d bytes under %.10q of %s: %s, want %s", c.size, c.key, c.namespace, got, c.want)
		}
	}
	for i := range 30 {
		_, err := s.Add("m", "1", 0, 0)
		if want := i >= 20; (reasonOf(err) == "rate") != want {
			t.Fatalf("write %d at once: %v", i, err)
		}
	}
	if n := testutil.ToFloat64(s.counts.rejected.WithLabelValues("quota")); n != 3 {
		t.Errorf("%v writes were counted as over the quota", n)
	}
	if n, err := testutil.GatherAndCount(registry, "wherry_kv_keys", "wherry_kv_bytes", "wherry_kv_outbox", "wherry_kv_lag_seconds"); err != nil || n != 4 {
		t.Errorf("%d metrics, %v", n, err)
	}
}

// What has expired isn't there, and makes room.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(Options{Node: "a"})
		if err != nil {
			t.Fatal(err)
		}
		run(t, s)
		if _, _, err := s.Put("n", "x", []byte("1"), time.Minute, Condition{}); err != nil {
			t.Fatal(err)
		}
		if n, err := s.Add("n", "count", 1, time.Minute); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		time.Sleep(30 * time.Second)
		if n, err := s.Add("n", "count", 1, time.Minute); n != 2 || err != nil {
			t.Error(n, err)
		}
		time.Sleep(29 * time.Second)
		if read(t, s, "x") != "1" {
			t.Error("it has gone too early")
		}
		time.Sleep(time.Second)
		if read(t, s, "x") != "nothing" || read(t, s, "count") != "nothing" {
			t.Error("it hasn't gone; a counter's time runs from when it was made")
		}
		if n, err := s.Add("n", "count", 1, 0); n != 1 || err != nil {
			t.Errorf("a counter that has gone begins with %d, %v", n, err)
		}
		time.Sleep(2 * sweepEvery)
		synctest.Wait()
		if list, err := s.Namespaces(); err != nil || len(list) != 1 || list[0].Keys != 1 {
			t.Errorf("%v, %v", list, err)
		}
	})
}

// Lists are in the order of keys, whatever came and went in between.
func TestList(t *testing.T) {
	s, err := Open(Options{Node: "a", Limits: Limits{Burst: 10_000}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2000 {
		mustPut(t, s, fmt.Sprintf("k/%04d", (i*7)%2000), "v")
		if i%2 == 1 {
			if _, err := s.Delete("n", fmt.Sprintf("k/%04d", ((i-1)*7)%2000), Condition{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	mustPut(t, s, "l", "v")
	var all []string
	after := ""
	for {
		items, more, err := s.List("n", "k/", after, 300)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			all = append(all, i.Key)
		}
		if !more {
			break
		}
		after = all[len(all)-1]
	}
	if len(all) != 1000 {
		t.Fatalf("%d keys are listed", len(all))
	}
	for i, key := range all {
		if want := fmt.Sprintf("k/%04d", 2*i+1); key != want {
			t.Fatalf("key %d is %s, want %s", i, key, want)
		}
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// An origin that control has forgotten goes on as another one.
func TestForgottenOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newTestFeed()
		a := f.open(t, t.TempDir(), "a")
		run(t, a)
		time.Sleep(time.Second)
		for i := range 3 {
			mustPut(t, a, "x", fmt.Sprint(i))
			time.Sleep(2 * time.Second)
		}
		f.mu.Lock()
		clear(f.lead.marks)
		f.mu.Unlock()
		mustPut(t, a, "x", "after")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if r := f.lead.find("n", "x", 0); r == nil || string(r.Value) != "after" || len(a.m.pending) > 0 {
			t.Errorf("control has %v, and %d writes wait", r, len(a.m.pending))
		}
	})
}
