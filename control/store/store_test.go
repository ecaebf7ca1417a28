package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/mesh"
)

// cluster is some members on loopback, each behind the listener of its mesh.
type cluster struct {
	t         *testing.T
	authority *mesh.Authority
	members   map[string]*member
}

type member struct {
	*Store
	mesh *mesh.Mesh
	o    Options
	at   string
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	a, err := mesh.NewAuthority(t.TempDir(), "cdn.test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &cluster{t, a, map[string]*member{}}
}

// prepare makes a member that isn't started.
func (c *cluster) prepare(name string) *member {
	c.t.Helper()
	id, err := mesh.OpenIdentity(c.t.TempDir())
	if err != nil {
		c.t.Fatal(err)
	}
	csr, err := id.CSR()
	if err != nil {
		c.t.Fatal(err)
	}
	cert, err := c.authority.Issue(csr, mesh.Who{Node: config.NodeID(name), Roles: []feed.Role{feed.RoleControl}}, time.Now())
	if err != nil {
		c.t.Fatal(err)
	}
	if err := id.Install(cert, c.authority.PEM()); err != nil {
		c.t.Fatal(err)
	}
	m := &member{mesh: mesh.New(id, mesh.Options{}), o: Options{Name: name, Dir: c.t.TempDir(), Log: slog.New(slog.DiscardHandler)}}
	m.o.PeerTLS.ServerName = "control.wherry.internal"
	m.o.PeerTLS.Cert, m.o.PeerTLS.Key, m.o.PeerTLS.CA = id.Files()
	m.listen(c.t, "127.0.0.1:0")
	c.members[name] = m
	return m
}

func (m *member) listen(t *testing.T, at string) {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	m.at = l.Addr().String()
	m.o.PeerListener, m.o.PeerURL = m.mesh.Listener(l, mesh.ListenOptions{}), "https://"+m.at
}

func (m *member) start(t *testing.T) {
	t.Helper()
	s, err := Open(t.Context(), m.o)
	if err != nil {
		t.Fatal(err)
	}
	m.Store = s
	t.Cleanup(func() { _ = s.Close() })
}

func (c *cluster) first() *member {
	c.t.Helper()
	m := c.prepare("control-1")
	m.start(c.t)
	return m
}

// grow adds a member to the cluster of m.
func (c *cluster) grow(m *member, name string) *member {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	next := c.prepare(name)
	err := m.Grow(ctx, name, next.o.PeerURL, func(members map[string]string) error {
		next.o.Members = members
		next.start(c.t)
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return next
}

func put(t *testing.T, s *Store, key, value string, conds ...Cond) Revision {
	t.Helper()
	at, err := s.Commit(t.Context(), Txn{If: conds, Put: []Put{{key, []byte(value)}}})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestCommit(t *testing.T) {
	s := newCluster(t).first().Store
	at := put(t, s, "a", "1", Absent("a"))
	if kv, ok, err := s.Get(t.Context(), "a"); err != nil || !ok || string(kv.Value) != "1" || kv.Changed != at {
		t.Fatalf("%v %v %v", kv, ok, err)
	}
	for name, c := range map[string]Cond{"absent": Absent("a"), "changed": Unchanged("a", at-1)} {
		if _, err := s.Commit(t.Context(), Txn{If: []Cond{c}, Put: []Put{{"a", []byte("2")}}}); !errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Commit(t.Context(), Txn{Put: []Put{{"big", make([]byte, valueMax+1)}}}); err == nil {
		t.Error("a value that is too large was taken")
	}
	if _, err := s.Commit(t.Context(), Txn{If: []Cond{Unchanged("a", at)}, Delete: []string{"a"}, Put: []Put{{"b/1", nil}, {"b/2", nil}, {"c", nil}}}); err != nil {
		t.Fatal(err)
	}
	list, more, _, err := s.List(t.Context(), "b/", "", 1)
	if err != nil || len(list) != 1 || !more || list[0].Key != "b/1" {
		t.Errorf("%v %v %v", list, more, err)
	}
	if list, more, _, err = s.List(t.Context(), "b/", "b/1", 0); err != nil || len(list) != 1 || more || list[0].Key != "b/2" {
		t.Errorf("%v %v %v", list, more, err)
	}
}

// Many who change one value at once change it one after the other, each once.
func TestCommitsHappenOnce(t *testing.T) {
	s := newCluster(t).first().Store
	put(t, s, "n", "0")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 10 {
				for {
					kv, _, err := s.Get(t.Context(), "n")
					if err != nil {
						t.Error(err)
						return
					}
					var n int
					fmt.Sscan(string(kv.Value), &n)
					_, err = s.Commit(t.Context(), Txn{If: []Cond{Unchanged("n", kv.Changed)}, Put: []Put{{"n", fmt.Append(nil, n+1)}}})
					if err == nil {
						break
					}
					if !errors.Is(err, ErrConflict) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	if kv, _, _ := s.Get(t.Context(), "n"); string(kv.Value) != "80" {
		t.Errorf("n is %s", kv.Value)
	}
}

func TestWatchSeesAllInOrder(t *testing.T) {
	s := newCluster(t).first().Store
	at := put(t, s, "w/0", "0")
	for i := range 5 {
		put(t, s, fmt.Sprint("w/", i), "x")
	}
	var keys []string
	enough := errors.New("enough")
	err := s.Watch(t.Context(), "w/", at+1, func(events []Event) error {
		for _, e := range events {
			keys = append(keys, e.Key)
		}
		if len(keys) == 5 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || strings.Join(keys, " ") != "w/0 w/1 w/2 w/3 w/4" {
		t.Errorf("%q, %v", keys, err)
	}
}

// What a leader does that was replaced without knowing it is refused.
func TestALateLeaderIsFenced(t *testing.T) {
	s := newCluster(t).first().Store
	one, err := s.Campaign(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "done", "by one", one.Cond())
	fence := one.Cond()
	one.Resign()
	two, err := s.Campaign(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit(t.Context(), Txn{If: []Cond{fence}, Put: []Put{{"done", []byte("by one, late")}}}); !errors.Is(err, ErrConflict) {
		t.Errorf("the first leader acts on: %v", err)
	}
	put(t, s, "done", "by two", two.Cond())
	if name, err := s.Leader(t.Context(), "work"); name != "control-1" || err != nil {
		t.Errorf("leader %q, %v", name, err)
	}
	if two.Number() <= one.Number() {
		t.Error("the number of the term didn't grow")
	}
}

func TestThreeMembersWriteOnWithoutOne(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	one := c.first()
	put(t, one.Store, "a", "1")
	two := c.grow(one, "control-2")
	three := c.grow(one, "control-3")
	put(t, two.Store, "b", "2")
	if kv, ok, err := three.Get(t.Context(), "b"); !ok || string(kv.Value) != "2" {
		t.Fatalf("%v %v", kv, err)
	}
	if err := one.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := two.Commit(ctx, Txn{If: []Cond{Absent("c")}, Put: []Put{{"c", nil}}}); err != nil {
		t.Fatal(err)
	}
	if err := three.Close(); err != nil {
		t.Error(err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := two.Commit(short, Txn{Put: []Put{{"d", nil}}}); err == nil || !errors.Is(err, ErrNoMajority) {
		t.Errorf("one of three writes: %v", err)
	}
	if kv, ok, err := two.Get(t.Context(), "b", Local); !ok || string(kv.Value) != "2" {
		t.Errorf("reads without a majority: %v %v", kv, err)
	}
	for two.HasMajority() { // a leader steps down when it has heard of nobody for a while
		time.Sleep(20 * time.Millisecond)
	}
	if h := two.Health(); h.Majority || len(h.Members) != 3 || h.Revision == 0 {
		t.Errorf("%+v", h)
	}
	one.listen(t, one.at)
	one.o.Members = nil
	one.start(t) // from what is on its disk
	put(t, one.Store, "e", "5")
}

func TestAWatchThatIsTooLate(t *testing.T) {
	s := newCluster(t).first().Store
	first := put(t, s, "a", "1")
	last := put(t, s, "a", "2")
	if _, err := s.client.Compact(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if err := s.Watch(t.Context(), "a", first, func([]Event) error { return nil }); !errors.Is(err, ErrCompacted) {
		t.Error(err)
	}
}

func TestWatchEnds(t *testing.T) {
	s := newCluster(t).first().Store
	ctx, cancel := context.WithCancel(t.Context())
	at := put(t, s, "a", "1")
	put(t, s, "b", "1")
	err := s.Watch(ctx, "a", at, func(events []Event) error {
		if len(events) != 1 || events[0].Key != "a" || events[0].Deleted {
			t.Errorf("%v", events)
		}
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestListEdges(t *testing.T) {
	s := newCluster(t).first().Store
	for _, key := range []string{"a", "b/1", "b/2", "b0", "c"} {
		put(t, s, key, "")
	}
	for _, c := range []struct {
		front, after, want string
		limit              int
		more               bool
	}{
		{"b/", "", "b/1 b/2", 0, false},
		{"b/", "a", "b/1 b/2", 0, false},
		{"b/", "b/1", "b/2", 5, false},
		{"b/", "b/2", "", 0, false},
		{"b/", "c", "", 0, false},
		{"b", "", "b/1", 1, true},
		{"none", "", "", 0, false},
	} {
		list, more, _, err := s.List(t.Context(), c.front, c.after, c.limit)
		var got []string
		for _, kv := range list {
			got = append(got, kv.Key)
		}
		if strings.Join(got, " ") != c.want || more != c.more || err != nil {
			t.Errorf("%q after %q: %q %v %v", c.front, c.after, got, more, err)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	one := newCluster(t).first()
	put(t, one.Store, "a", "1")
	term, err := one.Campaign(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Close(); err != nil {
		t.Error(err)
	}
	<-term.Done()
	term.Resign()
	if _, err := os.Stat(filepath.Join(one.o.Dir, "peer.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	goleak.VerifyNone(t, before)
}
