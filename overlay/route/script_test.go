package route

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
)

var rewrite = flag.Bool("rewrite", false, "write what the commands of testdata/*.txt print back into them")

// TestScripts plays testdata/*.txt. A command stands on a line that begins with "> "; what it prints follows.
//
//	self NAME LAT LON [OPTION=N...]    the node that chooses; standby=, near=, far=, detours= (bytes a second through one node)
//	peer NAME LAT LON [parent] [alone] another one; alone: it doesn't forward
//	link A B RTT [loss=P] [mbit=N]     what the path between two nodes is like from now on; without one, it is by distance
//	cut A B, mend A B                  it carries nothing; again
//	off NODE, on NODE                  nothing comes from or to a node
//	lie A B RTT                        what A reports of its link to B
//	traffic NODE CLASS [SIZE] [EVERY]  exchanges from now on
//	stop NODE                          none
//	run DURATION                       prints each choice that is another one than before
//	routes NODE CLASS                  prints what is open, raced, and the shares
//	explain NODE CLASS
//	refuse NODE                        it won't forward; prints nothing
//	trust NODE
//
// `go test ./overlay/route -run TestScripts -rewrite` fills them in.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got != string(text) && !*rewrite {
				t.Errorf("%s (-rewrite updates it):\n%s", file, got)
			}
		})
	}
}

var began = time.Unix(1_800_000_000, 0)

// play runs a script twice: that the same was said and decided both times is part of what is promised.
func play(t *testing.T, text string) string {
	once := func() string {
		s := script{t: t, now: began, links: map[[2]config.NodeID]*scriptLink{}, off: map[config.NodeID]bool{}, lies: map[[2]config.NodeID]time.Duration{}}
		var out strings.Builder
		for line := range strings.Lines(text) {
			switch {
			case strings.HasPrefix(line, "> "):
				out.WriteString(line)
				out.WriteString(s.command(strings.Fields(line[2:])))
			case strings.HasPrefix(line, "#") || line == "\n":
				out.WriteString(line)
			}
		}
		return out.String()
	}
	first := once()
	if second := once(); first != second {
		t.Errorf("the same script was played differently:\n%s\n%s", first, second)
	}
	return first
}

type scriptLink struct {
	rtt    time.Duration
	loss   float64
	rate   float64 // bytes a second
	cut    bool
	credit float64 // of loss: one packet is lost each time that it reaches 1
}

type scriptFlow struct {
	to    config.NodeID
	class Class
	size  int
	every time.Duration
	next  time.Time
	used  Route
}

// script is a world in which loss is regular and delay doesn't waver.
type script struct {
	t     *testing.T
	now   time.Time
	self  Peer
	peers []Peer
	r     *Router
	links map[[2]config.NodeID]*scriptLink
	off   map[config.NodeID]bool
	lies  map[[2]config.NodeID]time.Duration
	flows []*scriptFlow
	due   []scriptEvent
	out   strings.Builder
}

type scriptEvent struct {
	at time.Time
	do func()
}

func (s *script) command(words []string) string {
	s.out.Reset()
	args := words[1:]
	switch words[0] {
	case "self":
		o := Options{Self: config.NodeID(args[0]), Seed: 1}
		s.self = Peer{ID: o.Self, Place: place(args[1], args[2])}
		for _, a := range args[3:] {
			name, value, _ := strings.Cut(a, "=")
			n, _ := strconv.Atoi(value)
			switch name {
			case "standby":
				o.Standby = n
			case "near":
				o.Near = n
			case "far":
				o.Far = n
			case "detours":
				o.DetourRate = float64(n)
			}
		}
		s.r = New(o)
	case "peer":
		p := Peer{ID: config.NodeID(args[0]), Place: place(args[1], args[2]), Parent: slices.Contains(args, "parent"), Helps: !slices.Contains(args, "alone")}
		s.peers = append(s.peers, p)
		if err := s.r.SetPeers(s.self, s.peers, s.now); err != nil {
			s.t.Fatal(err)
		}
	case "link":
		l := s.link(args[0], args[1])
		l.rtt, l.loss, l.rate = s.duration(args[2]), 0, 0
		for _, a := range args[3:] {
			name, value, _ := strings.Cut(a, "=")
			v, _ := strconv.ParseFloat(value, 64)
			if name == "loss" {
				l.loss = v
			} else {
				l.rate = v * 1e6 / 8
			}
		}
	case "cut", "mend":
		s.link(args[0], args[1]).cut = words[0] == "cut"
	case "off", "on":
		s.off[config.NodeID(args[0])] = words[0] == "off"
	case "lie":
		s.lies[[2]config.NodeID{config.NodeID(args[0]), config.NodeID(args[1])}] = s.duration(args[2])
	case "traffic":
		f := &scriptFlow{to: config.NodeID(args[0]), class: class(args[1]), size: 2000, every: 100 * time.Millisecond, next: s.now}
		if len(args) > 2 {
			f.size, _ = strconv.Atoi(args[2])
		}
		if len(args) > 3 {
			f.every = s.duration(args[3])
		}
		s.flows = append(s.flows, f)
	case "stop":
		s.flows = slices.DeleteFunc(s.flows, func(f *scriptFlow) bool { return f.to == config.NodeID(args[0]) })
	case "run":
		s.run(s.duration(args[0]))
	case "routes":
		d := s.r.Choose(config.NodeID(args[0]), class(args[1]), s.now)
		fmt.Fprintf(&s.out, "open %v race %v\n", d.Open, d.Race)
		for _, share := range d.Shares {
			fmt.Fprintf(&s.out, "%s: %.2f, at most %.1f MB/s\n", share.Route, share.Weight, share.RateMax/1e6)
		}
	case "explain":
		x, ok := s.r.Explain(config.NodeID(args[0]), class(args[1]), s.now)
		if !ok {
			return "nothing goes there\n"
		}
		return x.String()
	case "refuse":
		s.r.Refused(Route{Via: config.NodeID(args[0])}, s.now)
	case "trust":
		return fmt.Sprintf("%.2f\n", s.r.graph.trust(config.NodeID(args[0])))
	default:
		return "unknown command\n"
	}
	return s.out.String()
}

func (s *script) run(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(5 * time.Millisecond) {
		slices.SortStableFunc(s.due, func(a, b scriptEvent) int { return a.at.Compare(b.at) })
		for len(s.due) > 0 && !s.due[0].at.After(s.now) {
			e := s.due[0]
			s.due = s.due[1:]
			e.do()
		}
		if s.now.Sub(began)%reportTime == 0 {
			s.reports()
		}
		for _, p := range s.r.Probes(s.now) {
			if rtt, ok := s.carry(p.Route, 1); ok {
				s.later(rtt, func() { s.r.Answered(p.ID, s.now) })
			}
		}
		for _, f := range s.flows {
			if !s.now.Before(f.next) {
				f.next = s.now.Add(f.every)
				s.exchange(f)
			}
		}
	}
}

const reportTime = 10 * time.Second

// exchange sends ten packets, and asks again when a timeout has passed.
func (s *script) exchange(f *scriptFlow) {
	d := s.choose(f)
	s.send(f, d.Use)
	for _, share := range d.Shares {
		if share.Route != d.Use {
			s.send(f, share.Route)
		}
	}
}

func (s *script) send(f *scriptFlow, way Route) {
	if !s.r.Spend(way, f.size, s.now) {
		return
	}
	sent := s.now
	rto := (&Estimator{smoothed: s.r.Estimate(way, s.now).Smoothed, variance: s.r.Estimate(way, s.now).Variance}).RTO()
	lost := 0
	var rtt time.Duration
	for range 10 {
		if took, ok := s.carry(way, 1); ok {
			rtt = took
		} else {
			lost++
		}
	}
	if lost == 10 {
		s.later(rto, func() {
			s.r.Timeout(way, sent, s.now)
			s.choose(f)
		})
		return
	}
	s.later(rtt, func() {
		s.r.Arrived(way, rtt, 10-lost, s.now)
		s.r.Lost(way, lost, s.now)
		if rate := s.rate(way); rate > 0 {
			s.r.byRoute[way].est.Delivered(s.now, rate, true)
		}
	})
}

func (s *script) choose(f *scriptFlow) Decision {
	d := s.r.Choose(f.to, f.class, s.now)
	if d.Use != f.used {
		f.used = d.Use
		x, _ := s.r.Explain(f.to, f.class, s.now)
		fmt.Fprintf(&s.out, "%8.3fs %s to %s %s: %s\n", s.now.Sub(began).Seconds(), f.class, f.to, d.Use, x.Why)
	}
	return d
}

// reports hands the reports of all others to the node, by way of the wire format.
func (s *script) reports() {
	for _, p := range s.peers {
		if s.off[p.ID] || s.off[s.self.ID] {
			continue
		}
		r := Report{Node: p.ID, Spare: 1e6}
		for _, q := range append(slices.Clone(s.peers), s.self) {
			if q.ID == p.ID {
				continue
			}
			l := s.link(string(p.ID), string(q.ID))
			rtt := l.rtt
			if lie, ok := s.lies[[2]config.NodeID{p.ID, q.ID}]; ok {
				rtt = lie
			}
			r.Links = append(r.Links, Link{To: q.ID, RTT: rtt, Loss: l.loss, Dead: l.cut || s.off[q.ID]})
		}
		parsed, err := ParseReport(r.Append(nil))
		if err != nil {
			s.t.Fatal(err)
		}
		s.r.Take(parsed, s.now)
	}
}

func (s *script) later(d time.Duration, do func()) {
	s.due = append(s.due, scriptEvent{s.now.Add(d), do})
}

// carry is what becomes of packets on a route.
func (s *script) carry(r Route, n float64) (rtt time.Duration, ok bool) {
	hops := []*scriptLink{s.link(string(s.self.ID), string(r.To))}
	if !r.Direct() {
		hops = []*scriptLink{s.link(string(s.self.ID), string(r.Via)), s.link(string(r.Via), string(r.To))}
	}
	ok = !s.off[r.To] && !s.off[r.Via] && !s.off[s.self.ID]
	for _, l := range hops {
		if l.credit += n * l.loss; l.credit >= 1 {
			l.credit--
			ok = false
		}
		ok = ok && !l.cut
		rtt += l.rtt
	}
	return rtt, ok
}

func (s *script) rate(r Route) float64 {
	if r.Direct() {
		return s.link(string(s.self.ID), string(r.To)).rate
	}
	return worse(s.link(string(s.self.ID), string(r.Via)).rate, s.link(string(r.Via), string(r.To)).rate)
}

func (s *script) link(a, b string) *scriptLink {
	key := [2]config.NodeID{config.NodeID(min(a, b)), config.NodeID(max(a, b))}
	if s.links[key] == nil {
		s.links[key] = &scriptLink{rtt: guess(s.r.place(key[0]), s.r.place(key[1]))}
	}
	return s.links[key]
}

func (s *script) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func place(lat, lon string) *config.Location {
	a, _ := strconv.ParseFloat(lat, 64)
	b, _ := strconv.ParseFloat(lon, 64)
	return &config.Location{Latitude: a, Longitude: b}
}

func class(name string) Class {
	if name == "bulk" {
		return Bulk
	}
	return Latency
}
