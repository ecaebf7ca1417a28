package routesim

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/overlay/route"
)

// Trouble is how often something happens and how long it lasts.
type Trouble struct {
	Every        time.Duration // from one to the next, on the average (exponential)
	Least, Most  time.Duration // how long it lasts
	Tail         float64       // exponent of the bounded Pareto distribution of how long: the smaller, the heavier
	LossLow      float64       // part of the packets, drawn log-uniformly; 1: all
	LossHigh     float64
	QueueLow     time.Duration // that it delays, drawn uniformly
	QueueHigh    time.Duration
	OneDirection bool
}

// Options of a world and of what happens on it.
type Options struct {
	Seed     uint64
	Places   int
	Pairs    int           // of places between which there is traffic; 0: none
	Rate     float64       // exchanges a second, of each pair (Poisson)
	Duration time.Duration // that is measured
	WarmUp   time.Duration // before it
	Limits   bool          // what limits ours is played, too: Result.Known and Heard
	Alone    bool          // only ours is played: for what it costs

	Outage     Trouble // of the path that BGP has between two places
	Blip       Trouble // the same, short: routing converges
	Congestion Trouble // of such a path, in one direction
	Corridor   Trouble // of what many paths between two regions share
	Access     Trouble // of a place: nothing goes around it

	Router route.Options
}

// Usual is a world with the failures that are reported of the internet: a path is away for 0.4 to 0.6 % of the time, half of its outages
// for less than a minute and a half and some for hours; it is congested for 4 %, where 2 to 20 % of the packets are lost.
func Usual(seed uint64) Options {
	return Options{
		Seed: seed, Places: 30, Pairs: 30, Rate: 4, Duration: 4 * time.Hour, WarmUp: 3 * time.Minute,
		Outage:     Trouble{Every: 12 * time.Hour, Least: 45 * time.Second, Most: 3 * time.Hour, Tail: 1.2, LossLow: 1, LossHigh: 1},
		Blip:       Trouble{Every: 6 * time.Hour, Least: 2 * time.Second, Most: 30 * time.Second, Tail: 1.5, LossLow: 1, LossHigh: 1},
		Congestion: Trouble{Every: 10 * time.Hour, Least: 2 * time.Minute, Most: 2 * time.Hour, Tail: 1, LossLow: 0.02, LossHigh: 0.2, QueueLow: 5 * time.Millisecond, QueueHigh: 80 * time.Millisecond, OneDirection: true},
		Corridor:   Trouble{Every: 60 * time.Hour, Least: 45 * time.Second, Most: 3 * time.Hour, Tail: 1.2, LossLow: 1, LossHigh: 1},
		Access:     Trouble{Every: 200 * time.Hour, Least: 45 * time.Second, Most: 30 * time.Minute, Tail: 1.2, LossLow: 1, LossHigh: 1},
		Router:     route.Options{DetourRate: 256 << 10, DetourRateAll: 1 << 20},
	}
}

// episode is a time in which something is worse.
type episode struct {
	from, to time.Duration
	loss     float64
	queue    time.Duration
}

// line is what befalls one thing, in order.
type line []episode

// at adds up what is wrong at a time. Episodes are few and don't last forever, so a look back over those that began before is short.
func (l line) at(t time.Duration) (loss float64, queue time.Duration) {
	i, _ := slices.BinarySearchFunc(l, t, func(e episode, t time.Duration) int { return cmp.Compare(e.from, t+1) })
	for i--; i >= 0; i-- {
		if t < l[i].to {
			loss = 1 - (1-loss)*(1-l[i].loss)
			queue += l[i].queue
		}
	}
	return loss, queue
}

// link is the path that BGP has from one place to another, in one direction.
type link struct {
	delay    time.Duration // without queues
	loss     float64
	jitter   time.Duration // mean, exponential
	events   line
	corridor *line
}

// World is places, the links between them, and what will befall them.
type World struct {
	o        Options
	rng      *rand.Rand
	places   []config.Location
	names    []config.NodeID
	links    [][]link
	access   []line
	corridor map[[3]int]*line
	changes  []time.Duration // when anything begins or ends
}

const (
	regions  = 6
	carriers = 3
)

// NewWorld draws a world.
func NewWorld(o Options) *World {
	w := &World{o: o, rng: rand.New(rand.NewPCG(o.Seed, 1)), corridor: map[[3]int]*line{}}
	centers := make([]config.Location, regions)
	for i := range centers {
		centers[i] = config.Location{Latitude: -35 + 90*w.rng.Float64(), Longitude: -180 + 360*(float64(i)+0.8*w.rng.Float64())/regions}
	}
	region, last := make([]int, o.Places), make([]time.Duration, o.Places)
	for i := range o.Places {
		region[i] = w.rng.IntN(regions)
		c := centers[region[i]]
		w.places = append(w.places, config.Location{
			Latitude: min(max(c.Latitude+10*w.rng.NormFloat64(), -60), 70), Longitude: c.Longitude + 12*w.rng.NormFloat64(),
		})
		w.names = append(w.names, config.NodeID(fmt.Sprintf("n%03d", i)))
		last[i] = time.Duration((0.3 + 2*w.rng.ExpFloat64()) * float64(time.Millisecond))
		w.access = append(w.access, w.draw(o.Access))
	}
	w.links = make([][]link, o.Places)
	for i := range w.links {
		w.links[i] = make([]link, o.Places)
	}
	for a := range o.Places {
		for b := range a {
			w.connect(a, b, last[a]+last[b], region[a], region[b])
		}
	}
	slices.Sort(w.changes)
	return w
}

// connect draws the two directions between two places.
func (w *World) connect(a, b int, last time.Duration, regionA, regionB int) {
	// Half of the paths are at most 1.5 times as long as light in glass would have it, one in ten more than 1.9 times.
	inflation := 1.15 + 0.35*math.Exp(0.6*w.rng.NormFloat64())
	delay := time.Duration(inflation*float64(light(w.places[a], w.places[b]))) + last
	key := [3]int{min(regionA, regionB), max(regionA, regionB), w.rng.IntN(carriers)}
	if w.corridor[key] == nil {
		l := w.draw(w.o.Corridor)
		w.corridor[key] = &l
	}
	both := append(w.draw(w.o.Outage), w.draw(w.o.Blip)...)
	for _, d := range [2][2]int{{a, b}, {b, a}} {
		l := &w.links[d[0]][d[1]]
		*l = link{
			delay: delay, loss: min(0.0005*math.Exp(w.rng.NormFloat64()), 0.01), jitter: time.Duration(0.01*float64(delay)) + 200*time.Microsecond,
			corridor: w.corridor[key],
		}
		l.events = append(slices.Clone(both), w.draw(w.o.Congestion)...)
		slices.SortFunc(l.events, func(x, y episode) int { return cmp.Compare(x.from, y.from) })
	}
}

// draw draws what befalls one thing.
func (w *World) draw(t Trouble) line {
	var l line
	if t.Every == 0 {
		return nil
	}
	for at := time.Duration(w.rng.ExpFloat64() * float64(t.Every)); at < w.o.Duration+w.o.WarmUp; {
		low := math.Pow(float64(t.Least)/float64(t.Most), t.Tail)
		lasts := time.Duration(float64(t.Least) / math.Pow(1-w.rng.Float64()*(1-low), 1/t.Tail))
		l = append(l, episode{
			from: at, to: at + lasts, loss: t.LossLow * math.Pow(t.LossHigh/t.LossLow, w.rng.Float64()),
			queue: t.QueueLow + time.Duration(w.rng.Float64()*float64(t.QueueHigh-t.QueueLow)),
		})
		w.changes = append(w.changes, at, at+lasts)
		at += lasts + time.Duration(w.rng.ExpFloat64()*float64(t.Every))
	}
	return l
}

// light is the time in one direction that light needs in glass.
func light(a, b config.Location) time.Duration {
	const degree = math.Pi / 180
	h := math.Pow(math.Sin((b.Latitude-a.Latitude)*degree/2), 2) +
		math.Cos(a.Latitude*degree)*math.Cos(b.Latitude*degree)*math.Pow(math.Sin((b.Longitude-a.Longitude)*degree/2), 2)
	return time.Duration(2 * 6371 * math.Asin(math.Sqrt(min(h, 1))) / 200 * float64(time.Millisecond))
}

// direct says that nobody forwards.
const direct = -1

const forwardTime = 150 * time.Microsecond

// quality is what a route is like in one direction at a time.
type quality struct {
	delay, jitter time.Duration
	loss          float64
}

func (w *World) hop(a, b int, t time.Duration) quality {
	l := &w.links[a][b]
	q := quality{delay: l.delay, jitter: l.jitter, loss: l.loss}
	for _, events := range [4]line{l.events, *l.corridor, w.access[a], w.access[b]} {
		if len(events) > 0 {
			loss, queue := events.at(t)
			q.loss = 1 - (1-q.loss)*(1-loss)
			q.delay += queue
		}
	}
	return q
}

// way is what a route is like from a to b at a time.
func (w *World) way(a, via, b int, t time.Duration) quality {
	if via == direct {
		return w.hop(a, b, t)
	}
	x, y := w.hop(a, via, t), w.hop(via, b, t)
	return quality{delay: x.delay + y.delay + forwardTime, jitter: x.jitter + y.jitter, loss: 1 - (1-x.loss)*(1-y.loss)}
}

// send sends a packet and says when it arrives.
func (w *World) send(a, via, b int, t time.Duration) (arrives time.Duration, ok bool) {
	q := w.way(a, via, b, t)
	if w.rng.Float64() < q.loss {
		return 0, false
	}
	return t + q.delay + time.Duration(w.rng.ExpFloat64()*float64(q.jitter)), true
}

// expected is how long an exchange takes on the average, by the true state of the world: what an oracle knows.
func (w *World) expected(a, via, b int, t time.Duration) time.Duration {
	out, back := w.way(a, via, b, t), w.way(b, via, a, t)
	trip := out.delay + back.delay
	e := route.Estimate{Smoothed: trip, Variance: out.jitter + back.jitter, Loss: 1 - (1-out.loss)*(1-back.loss)}
	return route.Cost(&e, route.Latency, 0)
}

// up says whether packets get through at all.
func (w *World) up(a, via, b int, t time.Duration) bool {
	return w.way(a, via, b, t).loss < 0.99 && w.way(b, via, a, t).loss < 0.99
}
