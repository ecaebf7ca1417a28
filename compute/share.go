package compute

import (
	"slices"
	"time"
)

const (
	quantum   = 5 * time.Millisecond // of workers' time that a tenant gets a round
	debtMax   = time.Second          // what a tenant has used beyond its share is remembered up to this
	queueMax  = 1024                 // requests that wait
	bytesHeld = 64 << 20             // of requests that wait
)

// shares is who waits for workers, and whose turn it is: deficit round robin over tenants. What a call costs is known when it is over, so a tenant goes into debt, and
// waits for as many rounds as it takes. It is pure; Host.mu guards it.
type shares struct {
	tenants map[string]*tenant
	turns   []*tenant // in order
	at      int       // of the last turn
	waiting int
	bytes   int64
}

// tenant is one who shares.
type tenant struct {
	name   string
	jobs   []*job // in order of their coming
	credit time.Duration
	held   int // workers
	bytes  int64
}

func newShares() *shares { return &shares{tenants: map[string]*tenant{}} }

// push lets j wait. Where there is no room the last job of the tenant that has most of it has to go, which may be j.
func (s *shares) push(j *job) (refused *job) {
	t := s.of(j)
	t.jobs = append(t.jobs, j)
	s.add(t, 1, j.size())
	if s.waiting <= queueMax && s.bytes <= bytesHeld {
		return nil
	}
	most := t
	for _, other := range s.turns {
		if s.bytes > bytesHeld && other.bytes > most.bytes || s.bytes <= bytesHeld && len(other.jobs) > len(most.jobs) {
			most = other
		}
	}
	last := most.jobs[len(most.jobs)-1]
	if last.instance != nil { // it was let in already
		last = j
	}
	s.remove(last)
	return last
}

// back lets j wait before all of its tenant: it was let in already, and goes on. There are no more of them than instances.
func (s *shares) back(j *job) {
	t := s.of(j)
	t.jobs = slices.Insert(t.jobs, 0, j)
	s.add(t, 1, 0)
}

// of is j's tenant.
func (s *shares) of(j *job) *tenant {
	t := s.tenants[j.tenant]
	if t == nil {
		t = &tenant{name: j.tenant}
		s.tenants[j.tenant] = t
		s.turns = append(s.turns, t)
	}
	return t
}

func (s *shares) add(t *tenant, n int, size int64) {
	s.waiting += n
	s.bytes += size
	t.bytes += size
}

// remove takes j out, if it waits.
func (s *shares) remove(j *job) bool {
	t := s.tenants[j.tenant]
	if t == nil {
		return false
	}
	i := slices.Index(t.jobs, j)
	if i < 0 {
		return false
	}
	t.jobs = slices.Delete(t.jobs, i, i+1)
	s.add(t, -1, -j.size())
	s.forget(t)
	return true
}

// pop is the next job that can be done, for which a worker is held until settle.
func (s *shares) pop(can func(*job) bool) *job {
	var best *job
	var owner *tenant
	least := time.Duration(0) // debt of the tenants that could go on
	for i := range s.turns {
		t := s.turns[(s.at+i)%len(s.turns)]
		j := t.first(can)
		if j == nil {
			continue
		}
		if best == nil || owner.credit <= 0 && t.credit > owner.credit {
			best, owner, least = j, t, -t.credit
		}
		if owner.credit > 0 {
			break
		}
	}
	if best == nil {
		return nil
	}
	if owner.credit <= 0 {
		s.rounds(int64(least/quantum) + 1)
	}
	s.at = slices.Index(s.turns, owner)
	owner.held++
	s.remove(best)
	return best
}

// first is the first of t's jobs that can be done. Those of a program that can't take one are behind each other as a rule.
func (t *tenant) first(can func(*job) bool) *job {
	var full *program
	for _, j := range t.jobs {
		if j.program == full && j.instance == nil {
			continue
		}
		if can(j) {
			return j
		}
		if j.connection == nil && j.instance == nil { // those wait for an instance of their own
			full = j.program
		}
	}
	return nil
}

// rounds gives all tenants n quanta. Nobody saves: who has nothing to do has no credit.
func (s *shares) rounds(n int64) {
	for _, t := range s.turns {
		most := quantum
		if len(t.jobs) == 0 {
			most = 0
		}
		t.credit = min(t.credit+time.Duration(n)*quantum, max(most, t.credit))
	}
}

// settle ends a job that pop gave: it cost so much.
func (s *shares) settle(j *job, cost time.Duration) {
	t := s.tenants[j.tenant]
	t.held--
	t.credit = max(t.credit-max(cost, 1), -debtMax)
	s.forget(t)
}

// forget drops a tenant who wants nothing and owes nothing. Who owes stays: it is forgiven by the rounds of the others.
func (s *shares) forget(t *tenant) {
	if len(t.jobs) > 0 || t.held > 0 || t.credit < 0 && s.waiting > 0 {
		return
	}
	at := slices.Index(s.turns, t)
	s.turns = slices.Delete(s.turns, at, at+1)
	if s.at > at {
		s.at--
	}
	delete(s.tenants, t.name)
}

// held is how many workers a tenant has.
func (s *shares) held(name string) int {
	if t := s.tenants[name]; t != nil {
		return t.held
	}
	return 0
}
