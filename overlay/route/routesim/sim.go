package routesim

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/overlay/route"
)

const (
	responsePackets = 6
	packetBytes     = 1200
	probeBytes      = 90 // with IP and UDP headers, and back again
	promptFor       = time.Second
	usefulFor       = 3 * time.Second
	givenUp         = 10 * time.Second
	recoveries      = 4 // round trips in which losses of a response are made good, before it counts as silence
	triesMax        = 12

	reportEvery = 10 * time.Second
	reportTakes = 2 * time.Second // up to control and down again
)

var epoch = time.Unix(1_800_000_000, 0)

// event is something that happens at a time.
type event struct {
	at  time.Duration
	seq uint64
	do  func()
}

type queue []event

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(event)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// node is a place with its Router.
type node struct {
	r     *route.Router
	wakes time.Duration // when it is asked for probes next
}

// pair has traffic from a to b.
type pair struct {
	a, b     int
	outcome  [choices]outcome
	best     int // by the oracle
	bestTo   time.Duration
	used     route.Route
	open     []route.Route // that the node measures
	switches int
	detours  int // exchanges that took one
}

type sim struct {
	w      *World
	o      Options
	now    time.Duration
	queue  queue
	seq    uint64
	rng    *rand.Rand
	nodes  []*node
	pairs  []*pair
	index  map[config.NodeID]int
	heard  map[[3]int]time.Duration // of a route from, via, to: when the newest packet left of which is known what became of it
	result Result
}

// Run lets nodes choose on a world for as long as Options say.
func Run(o Options) Result {
	s := &sim{w: NewWorld(o), o: o, rng: rand.New(rand.NewPCG(o.Seed, 2)), index: map[config.NodeID]int{}, heard: map[[3]int]time.Duration{}}
	s.settle()
	for i := range s.nodes {
		s.wake(i)
		s.after(time.Duration(s.rng.Float64()*float64(reportEvery)), func() { s.report(i) })
	}
	for _, p := range s.pairs {
		s.after(s.gap(), func() { s.start(p) })
	}
	end := o.WarmUp + o.Duration
	for len(s.queue) > 0 {
		e := heap.Pop(&s.queue).(event)
		if e.at >= end {
			break
		}
		s.now = e.at
		e.do()
	}
	return s.sum()
}

// settle makes the nodes, and draws who talks to whom.
func (s *sim) settle() {
	w := s.w
	var peers []route.Peer
	for i, name := range w.names {
		s.index[name] = i
		peers = append(peers, route.Peer{ID: name, Cluster: config.ClusterName(name), Place: &w.places[i], Helps: true})
	}
	for i, name := range w.names {
		o := s.o.Router
		o.Self, o.Seed = name, s.o.Seed*1000+uint64(i)
		n := &node{r: route.New(o), wakes: 1 << 62}
		n.r.SetSpare(10e6)
		if err := n.r.SetPeers(peers[i], peers, s.at()); err != nil {
			panic("BUG: routesim: " + err.Error())
		}
		s.nodes = append(s.nodes, n)
	}
	for len(s.pairs) < s.o.Pairs {
		a, b := s.rng.IntN(len(s.nodes)), s.rng.IntN(len(s.nodes))
		if a != b && !slices.ContainsFunc(s.pairs, func(p *pair) bool { return p.a == a && p.b == b }) {
			s.pairs = append(s.pairs, &pair{a: a, b: b})
		}
	}
}

func (s *sim) at() time.Time { return epoch.Add(s.now) }

func (s *sim) after(d time.Duration, do func()) {
	s.seq++
	heap.Push(&s.queue, event{s.now + d, s.seq, do})
}

func (s *sim) gap() time.Duration {
	return time.Duration(s.rng.ExpFloat64() / s.o.Rate * float64(time.Second))
}

func (s *sim) measuring() bool { return s.now >= s.o.WarmUp }

// wake sends the probes of a node that are due, and comes again when the next are.
func (s *sim) wake(i int) {
	n := s.nodes[i]
	for _, p := range n.r.Probes(s.at()) {
		s.probe(i, p)
	}
	s.rouse(i)
}

// rouse makes sure that a node is asked for probes when it wants to be.
func (s *sim) rouse(i int) {
	n := s.nodes[i]
	next := max(n.r.Next().Sub(epoch), s.now)
	if next >= n.wakes && n.wakes > s.now {
		return
	}
	n.wakes = next
	s.after(next-s.now, func() {
		if n.wakes == s.now {
			n.wakes = 1 << 62
			s.wake(i)
		}
	})
}

func (s *sim) probe(i int, p route.Probe) {
	if s.measuring() {
		s.result.Probes++
	}
	to, via := s.index[p.Route.To], s.via(p.Route)
	there, ok := s.w.send(i, via, to, s.now)
	if !ok {
		return
	}
	if back, ok := s.w.send(to, via, i, there); ok {
		sent := s.now
		s.after(back-s.now, func() {
			s.hear(i, via, to, sent)
			s.nodes[i].r.Answered(p.ID, s.at())
		})
	}
}

func (s *sim) via(r route.Route) int {
	if r.Direct() {
		return direct
	}
	return s.index[r.Via]
}

// report carries a node's report to those who want it, unless the node is cut off.
func (s *sim) report(i int) {
	s.after(reportEvery, func() { s.report(i) })
	if loss, _ := s.w.access[i].at(s.now); loss >= 0.99 {
		return
	}
	said := s.nodes[i].r.Report(s.at())
	raw := said.Append(nil)
	heard, err := route.ParseReport(raw)
	if err != nil {
		panic("BUG: routesim: " + err.Error())
	}
	s.after(reportTakes, func() {
		for j, n := range s.nodes {
			if loss, _ := s.w.access[j].at(s.now); j != i && loss < 0.99 && slices.Contains(n.r.Wants(s.at()), said.Node) {
				if s.measuring() {
					s.result.ReportBytes += uint64(len(raw))
				}
				n.r.Take(heard, s.at())
			}
		}
	})
}

// exchange is one that is under way.
type exchange struct {
	p     *pair
	began time.Duration
	tries int
	done  bool
}

// start begins an exchange of a pair, by all choices at once.
func (s *sim) start(p *pair) {
	s.after(s.gap(), func() { s.start(p) })
	s.try(&exchange{p: p, began: s.now})
	if s.measuring() && !s.o.Alone {
		s.alone(p, byDirect, s.now, 0, 0)
		s.alone(p, byOracle, s.now, 0, 0)
		if s.o.Limits {
			s.alone(p, byKnown, s.now, 0, 0)
			s.alone(p, byHeard, s.now, 0, 0)
		}
	}
}

// alone plays a try of an exchange that no Router sees, over what is truly best by what who knows, and the next one a timeout later.
func (s *sim) alone(p *pair, who int, began time.Duration, try int, rto time.Duration) {
	via, sent := s.choice(p, who), s.now
	if try == 0 {
		p.outcome[who].sent(s.w.up(p.a, via, p.b, sent))
		out, back := s.w.way(p.a, via, p.b, sent), s.w.way(p.b, via, p.a, sent)
		rto = (out.delay+back.delay)*13/10 + 20*time.Millisecond
	}
	x := s.w.exchange(p.a, via, p.b, sent)
	if who == byHeard {
		known := rto
		if x.heard > 0 {
			known = x.heard - sent
		}
		s.after(known, func() { s.hear(p.a, via, p.b, sent) })
	}
	switch next := sent + rto - began; {
	case x.ok && x.done-began < givenUp:
		p.outcome[who].took(x.done - began)
	case next >= givenUp || try+1 == triesMax:
		p.outcome[who].took(givenUp)
	default:
		s.after(rto, func() { s.alone(p, who, began, try+1, min(2*rto, 3*time.Second)) })
	}
}

func (s *sim) hear(from, via, to int, sent time.Duration) {
	k := [3]int{from, via, to}
	s.heard[k] = max(s.heard[k], sent)
}

// choice is the way that is best by what who knows: everything, how the routes are that the node measures, or how they were when the newest packet
// left whose fate could be known. For the last it is told more than packets tell: the true loss and delay.
func (s *sim) choice(p *pair, who int) int {
	at := func(int) time.Duration { return s.now }
	switch who {
	case byDirect:
		return direct
	case byOracle:
		return s.oracle(p, s.now)
	case byHeard:
		at = func(via int) time.Duration { return s.heard[[3]int{p.a, via, p.b}] }
	}
	best, least := direct, s.w.expected(p.a, direct, p.b, at(direct))
	for _, r := range p.open {
		via := s.via(r)
		if t := at(via); t > 0 {
			if cost := s.w.expected(p.a, via, p.b, t); cost < least {
				best, least = via, cost
			}
		}
	}
	return best
}

// oracle is the way that is best now by the true state of the world.
func (s *sim) oracle(p *pair, t time.Duration) int {
	if t < p.bestTo && t >= s.now {
		return p.best
	}
	i, _ := slices.BinarySearch(s.w.changes, t+1)
	if p.bestTo = 1 << 62; i < len(s.w.changes) {
		p.bestTo = s.w.changes[i]
	}
	p.best = direct
	least := s.w.expected(p.a, direct, p.b, t)
	for via := range s.w.places {
		if via == p.a || via == p.b {
			continue
		}
		if cost := s.w.expected(p.a, via, p.b, t); cost < least {
			p.best, least = via, cost
		}
	}
	return p.best
}

// answer is what came of an exchange.
type answer struct {
	ok    bool
	heard time.Duration // when the first packet came back
	lost  int           // packets that were found lost then
	done  time.Duration
}

// exchange sends a request and a response, and again what of the response was lost.
func (w *World) exchange(a, via, b int, t time.Duration) answer {
	there, ok := w.send(a, via, b, t)
	if !ok {
		return answer{}
	}
	var x answer
	missing := responsePackets
	for range recoveries {
		left := 0
		for range missing {
			back, ok := w.send(b, via, a, there)
			if !ok {
				left++
				continue
			}
			if x.heard == 0 || back < x.heard {
				x.heard = back
			}
			x.done = max(x.done, back)
		}
		if x.heard == 0 {
			return answer{}
		}
		if missing == responsePackets {
			x.lost = left
		}
		if missing = left; missing == 0 {
			x.ok = true
			return x
		}
		there += w.links[a][b].delay + w.links[b][a].delay
	}
	return x
}

// try sends an exchange's request over what the node chooses; again, also over the next best, because nobody knows yet why nothing came.
func (s *sim) try(x *exchange) {
	n, now := s.nodes[x.p.a], s.at()
	d := n.r.Choose(s.w.names[x.p.b], route.Latency, now)
	ways := d.Race
	switch {
	case len(ways) > 0:
	case x.tries > 0:
		ways = d.Open[:min(len(d.Open), 2)]
	default:
		ways = []route.Route{d.Use}
	}
	x.p.open = d.Open
	if x.tries++; x.tries == 1 {
		s.note(x.p, d)
	}
	var wait time.Duration
	for _, way := range ways {
		if n.r.Spend(way, packetBytes*(1+responsePackets), now) {
			wait = max(wait, s.carry(x, way))
		} else if s.measuring() {
			s.result.Held++
		}
	}
	s.rouse(x.p.a)
	if wait == 0 {
		wait = time.Second
	}
	s.after(wait, func() { s.again(x) })
}

// note counts what was chosen for a new exchange.
func (s *sim) note(p *pair, d route.Decision) {
	if s.measuring() {
		if d.Use != p.used && p.used != (route.Route{}) {
			p.switches++
		}
		s.missed(p, d)
		p.outcome[byOurs].sent(s.w.up(p.a, s.via(d.Use), p.b, s.now))
		if !d.Use.Direct() {
			p.detours++
		}
	}
	p.used = d.Use
}

// carry sends an exchange over a route and returns how long to wait for an answer.
func (s *sim) carry(x *exchange, way route.Route) time.Duration {
	r, sent := s.nodes[x.p.a].r, s.now
	e := r.Estimate(way, s.at())
	rto := min(max(e.Smoothed+max(4*e.Variance, 10*time.Millisecond), 30*time.Millisecond), 3*time.Second)
	if e.Smoothed == 0 {
		rto = time.Second
	}
	if s.measuring() && !way.Direct() {
		s.result.DetourBytes += packetBytes * (1 + responsePackets)
	}
	a := s.w.exchange(x.p.a, s.via(way), x.p.b, s.now)
	if a.heard > 0 {
		s.after(a.heard-s.now, func() {
			r.Arrived(way, s.now-sent, 1+responsePackets-a.lost, s.at())
			r.Lost(way, a.lost, s.at())
		})
	}
	if a.ok {
		s.after(a.done-s.now, func() { s.finish(x) })
		if a.heard-s.now <= rto {
			return max(a.done-s.now+time.Millisecond, rto)
		}
	}
	if a.heard == 0 || a.heard-s.now > rto {
		s.after(rto, func() {
			r.Timeout(way, epoch.Add(sent), s.at())
			s.rouse(x.p.a)
		})
	}
	return rto + time.Microsecond
}

func (s *sim) finish(x *exchange) {
	if !x.done {
		x.done = true
		s.took(x, s.now-x.began)
	}
}

func (s *sim) took(x *exchange, d time.Duration) {
	if x.began >= s.o.WarmUp {
		x.p.outcome[byOurs].took(d)
	}
}

// again tries once more what isn't done, until it is too late.
func (s *sim) again(x *exchange) {
	switch {
	case x.done:
	case s.now-x.began >= givenUp || x.tries >= triesMax:
		x.done = true
		s.took(x, givenUp)
	default:
		s.try(x)
	}
}
