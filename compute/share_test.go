package compute

import (
	"fmt"
	"testing"
	"time"

	"github.com/wherry/wherry/vmm/linux"
)

func waiting(s *shares, tenant string, n int) {
	for range n {
		s.push(&job{tenant: tenant, program: &program{name: tenant}})
	}
}

// TestShares has tenants whose calls cost very different amounts share one worker's time.
func TestShares(t *testing.T) {
	s := newShares()
	cost := map[string]time.Duration{"loops": 50 * time.Millisecond, "small": 100 * time.Microsecond, "middle": time.Millisecond}
	used, calls := map[string]time.Duration{}, map[string]int{}
	for name := range cost {
		waiting(s, name, 20)
	}
	var total time.Duration
	for total < 10*time.Second {
		j := s.pop(anyJob)
		used[j.tenant] += cost[j.tenant]
		calls[j.tenant]++
		total += cost[j.tenant]
		s.settle(j, cost[j.tenant])
		waiting(s, j.tenant, 1)
	}
	for name := range cost {
		if share := float64(used[name]) / float64(total); share < .3 || share > .37 {
			t.Errorf("%s had %.3f of the time, of three", name, share)
		}
	}
	if calls["small"] < 100*calls["loops"] {
		t.Errorf("%v", calls)
	}
}

// TestSharesComers has one come while another has long waited and worked: the comer is next.
func TestSharesComers(t *testing.T) {
	s := newShares()
	waiting(s, "loops", 100)
	for range 50 {
		s.settle(s.pop(anyJob), time.Second)
	}
	waiting(s, "comer", 100)
	for n := range 100 {
		j := s.pop(anyJob)
		if j.tenant != "comer" {
			t.Fatalf("call %d is of %s, who had 50 s", n, j.tenant)
		}
		s.settle(j, time.Millisecond)
	}
}

// TestSharesQueue fills the queue: who has most of it has to go.
func TestSharesQueue(t *testing.T) {
	s := newShares()
	waiting(s, "flood", queueMax)
	for n := range queueMax / 2 {
		if refused := s.push(&job{tenant: "quiet", program: &program{}}); refused == nil || refused.tenant != "flood" {
			t.Fatalf("%d: %v had to go", n, refused)
		}
	}
	j := &job{tenant: "flood", program: &program{}}
	if refused := s.push(j); refused != j {
		t.Errorf("one more of the flood was let in")
	}
	if s.waiting != queueMax {
		t.Errorf("%d wait", s.waiting)
	}
	big := &job{tenant: "big", program: &program{}, held: bytesHeld + 1}
	if refused := s.push(big); refused == nil {
		t.Errorf("more bytes wait than may")
	}
	for j := s.pop(anyJob); j != nil; j = s.pop(anyJob) {
		s.settle(j, time.Millisecond)
	}
	if s.waiting != 0 || s.bytes != 0 || len(s.tenants) != 0 || len(s.turns) != 0 {
		t.Errorf("when all is done, %d wait with %d bytes of %d tenants", s.waiting, s.bytes, len(s.tenants))
	}
}

// TestSharesSkip has a tenant whose program can't take more hold up nobody, not even its own other program.
func TestSharesSkip(t *testing.T) {
	s := newShares()
	full, other := &program{name: "full"}, &program{name: "other"}
	for n := range 6 {
		s.push(&job{tenant: fmt.Sprint(n % 2), program: full})
	}
	s.push(&job{tenant: "0", program: other})
	can := func(j *job) bool { return j.program != full }
	if j := s.pop(can); j == nil || j.program != other {
		t.Errorf("%v", j)
	}
	if j := s.pop(can); j != nil {
		t.Errorf("%v", j)
	}
}

// TestMakeRoom has a newcomer find workers that are free, that others have one each, and that one tenant has all of.
func TestMakeRoom(t *testing.T) {
	for _, c := range []struct {
		name    string
		turning []string // tenants
		tenant  string
		ended   int
	}{
		{"one is free", []string{"loops"}, "new", 0},
		{"one each", []string{"a", "b"}, "new", 0},
		{"one has all", []string{"loops", "loops"}, "new", 1},
		{"it is the newcomer's", []string{"loops", "loops"}, "loops", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &Host{workers: 2, queue: newShares(), turning: map[*job]*turn{}}
			ended := 0
			for _, tenant := range c.turning {
				j := &job{tenant: tenant, program: &program{}}
				h.queue.push(j)
				if h.queue.pop(anyJob) != j {
					t.Fatal("another one's turn")
				}
				h.turning[j] = &turn{process: new(linux.Process)}
			}
			h.makeRoom(&job{tenant: c.tenant})
			for _, t := range h.turning {
				if t.over.Load() {
					ended++
				}
			}
			if ended != c.ended {
				t.Errorf("%d turns are ended, want %d", ended, c.ended)
			}
		})
	}
}
