package kv

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// crowd is nodes that write into a namespace, and hear of each other when the test lets them. Nobody of them is run.
type crowd struct {
	t     *testing.T
	lead  *machine
	pages []*Page
	nodes []*Store
	l     Limits
}

func newCrowd(t *testing.T, n int, l Limits) *crowd {
	t.Helper()
	l.Rate, l.Burst = 1e9, 1e9
	c := &crowd{t: t, lead: newMachine(""), l: l.withDefaults()}
	for i := range n {
		s := newTestFeed().open(t, "", fmt.Sprintf("edge-%d", i), func(o *Options) { o.Limits = l })
		s.loaded, s.nodes = true, n
		c.nodes = append(c.nodes, s)
	}
	return c
}

// order has control order all that a node has.
func (c *crowd) order(s *Store) {
	c.t.Helper()
	for b := s.m.batch(c.lead.marks[s.m.origin].Last); b != nil; b = s.m.batch(c.lead.marks[s.m.origin].Last) {
		p, wrong, dropped := c.lead.order([]*Batch{b}, time.Now().UnixMilli(), &c.l)
		if wrong[0] != nil || dropped > 0 {
			c.t.Fatalf("%d acknowledged writes were dropped, %v", dropped, wrong[0])
		}
		c.lead.take(p)
		c.pages = append(c.pages, p)
	}
}

// tell has a node know what is ordered, up to a page.
func (c *crowd) tell(s *Store, upTo int) {
	for int(s.m.seq) < min(upTo, len(c.pages)) {
		s.take(c.pages[s.m.seq])
	}
}

// put writes as a program does, and returns why not.
func (c *crowd) put(s *Store, key string, bytes int) string {
	_, _, err := s.Put("shop", key, make([]byte, bytes), 0, Condition{})
	return reasonOf(err)
}

// Whatever nodes write, delete and hear, what they have together is bounded, and nothing that was acknowledged is dropped.
func TestTheQuotaOfAll(t *testing.T) {
	const bytes, keys, n, value = 40_000, 60, 8, 2000
	worst := usage{}
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 2))
		c := newCrowd(t, n, Limits{Bytes: bytes, Keys: keys})
		cutOff := r.IntN(n + 1) // so many hear nothing until the end
		refused := map[string]int{}
		for range 1500 {
			i := r.IntN(n)
			s := c.nodes[i]
			switch r.IntN(8) {
			case 0:
				if i >= cutOff {
					c.order(s)
				}
			case 1:
				if i >= cutOff {
					c.tell(s, int(s.m.seq)+1+r.IntN(5))
				}
			case 2:
				if _, err := s.Delete("shop", fmt.Sprint(r.IntN(40)), Condition{}); err != nil && reasonOf(err) != "outbox" {
					t.Fatal(err)
				}
			default:
				refused[c.put(s, fmt.Sprintf("%d/%d", r.IntN(3)*i, r.IntN(40)), r.IntN(value))]++
			}
		}
		if refused["quota"]+refused["share"] == 0 {
			t.Fatalf("seed %d: nothing was refused: %v", seed, refused)
		}
		for _, s := range c.nodes {
			c.order(s)
			has := c.lead.spaces["shop"].ordered
			worst.bytes, worst.keys = max(worst.bytes, has.bytes), max(worst.keys, has.keys)
		}
		for _, s := range c.nodes {
			c.tell(s, len(c.pages))
			checkUsage(t, s.m)
		}
	}
	if worst.bytes > 3*bytes+n*(value+8) || worst.keys > 3*keys+n {
		t.Errorf("nodes had %d bytes and %d keys together; the quota is %d and %d", worst.bytes, worst.keys, bytes, keys)
	}
	if worst.bytes <= bytes && worst.keys <= keys {
		t.Error("the quota was never passed: this test says nothing")
	}
	t.Logf("at most %d bytes and %d keys, with a quota of %d and %d", worst.bytes, worst.keys, bytes, keys)
}

// Above the quota of all a node refuses with 507 as soon as it knows; what waits for control is held to the node's share, and goes on when it is ordered; one write always may.
func TestShares(t *testing.T) {
	c := newCrowd(t, 10, Limits{Bytes: 10_000, Keys: 1000})
	a, b := c.nodes[0], c.nodes[1]
	for i := range 2 {
		if why := c.put(a, fmt.Sprint(i), 900); why != "<nil>" {
			t.Fatalf("write %d: %s", i, why)
		}
	}
	if why := c.put(a, "2", 900); why != "share" { // a tenth of 20,000 bytes
		t.Errorf("over its share: %s", why)
	}
	if why := c.put(a, "1", 900); why != "<nil>" {
		t.Errorf("the same key again: %s", why)
	}
	if _, err := a.Delete("shop", "1", Condition{}); err != nil {
		t.Errorf("a delete: %v", err)
	}
	if why := c.put(b, "large", 5000); why != "<nil>" {
		t.Errorf("a write that is larger than a share: %s", why)
	}
	c.order(a)
	c.order(b)
	c.tell(a, len(c.pages))
	if why := c.put(a, "2", 900); why != "<nil>" {
		t.Errorf("after what waited was ordered: %s", why)
	}
	for i := range 20 {
		c.order(a)
		c.tell(a, len(c.pages))
		c.put(a, fmt.Sprint("more", i), 900)
	}
	c.order(a)
	c.tell(b, len(c.pages))
	_, _, err := b.Put("shop", "x", make([]byte, 900), 0, Condition{})
	var e *Error
	if !errors.As(err, &e) || e.Status != 507 || e.Reason != "quota" {
		t.Errorf("the whole is above the quota, by what others wrote: %v", err)
	}
	if _, _, err := b.Put("another", "x", make([]byte, 900), 0, Condition{}); err != nil {
		t.Errorf("another namespace: %v", err)
	}
}

// A namespace may have a quota of its own, and limits may change while the store runs.
func TestOtherLimits(t *testing.T) {
	c := newCrowd(t, 1, Limits{Bytes: 1000, Quotas: map[string]Quota{"shop": {Bytes: 3000}}})
	s := c.nodes[0]
	if why := c.put(s, "a", 2500); why != "<nil>" {
		t.Errorf("within the namespace's own quota: %s", why)
	}
	if _, _, err := s.Put("other", "a", make([]byte, 2500), 0, Condition{}); reasonOf(err) != "quota" {
		t.Errorf("beyond that of all: %v", err)
	}
	s.SetLimits(Limits{Bytes: 100_000, Rate: 1, Burst: 1})
	if why := c.put(s, "b", 50_000); why != "<nil>" {
		t.Errorf("after the quota was raised: %s", why)
	}
	if why := c.put(s, "c", 1); why != "rate" {
		t.Errorf("after the rate was lowered: %s", why)
	}
	s.SetLimits(Limits{Bytes: 100})
	if why := c.put(s, "c", 1); why != "quota" {
		t.Errorf("after the quota was lowered: %s", why)
	}
	if why := c.put(s, "b", 10); why != "<nil>" {
		t.Errorf("less than there was: %s", why)
	}
}

// What is in memory of all namespaces is bounded: nodes that hear of each other refuse before control drops, also where many write at once.
func TestTheMemoryOfAll(t *testing.T) {
	const n = 20
	c := newCrowd(t, n, Limits{Node: 400_000})
	refused := map[string]int{}
	for round := range 200 {
		for i, s := range c.nodes {
			for k := range 12 {
				_, _, err := s.Put(fmt.Sprint("tenant-", i%7), fmt.Sprintf("%d/%d/%d", i, round, k), make([]byte, 1000), 0, Condition{})
				refused[reasonOf(err)]++
			}
		}
		for _, s := range c.nodes { // nobody has heard of what others wrote in this round
			c.order(s)
		}
		for _, s := range c.nodes {
			c.tell(s, len(c.pages))
		}
	}
	has := c.lead.ordered.memory()
	if has > 400_000 || has < 300_000 || refused["share"] == 0 || refused["quota"] == 0 {
		t.Errorf("%d bytes of 400000, refused %v", has, refused)
	}
	t.Logf("%d bytes of 400000 that it may be, refused %v", has, refused)
}
