package congestsim

import (
	"math/rand/v2"
	"time"

	"github.com/wherry/wherry/overlay/congest"
)

// Link is what all flows share.
type Link struct {
	Rate   float64       // bytes a second
	Delay  time.Duration // one way
	Queue  int           // bytes that wait at most, without the packet that is being sent
	Loss   float64       // chance of each packet
	Burst  float64       // packets that are lost one after another, in the mean; 0 and 1: each for itself
	Jitter time.Duration // acknowledgements come up to so much later, in order
	Batch  time.Duration // acknowledgements are read together that come within so much of each other
	Seed   uint64
}

// BDP is how many bytes the link holds without a queue.
func (l Link) BDP() int { return int(l.Rate * 2 * l.Delay.Seconds()) }

// Flow is one sender.
type Flow struct {
	Name       string
	Controller congest.Controller
	Start      time.Duration
	Stop       time.Duration // 0: at the end
	Packet     int           // bytes
}

// Result is what became of a flow.
type Result struct {
	Name      string
	Goodput   float64       // bytes a second that arrived while it was measured
	Queued    time.Duration // that a packet waited in the queue, in the mean
	Sent      int           // packets
	Lost      int           // packets
	Timeouts  int
	Delivered int64 // bytes
}

// Watch is asked after each acknowledgement; for traces of what a controller does.
type Watch func(flow int, now time.Duration, a congest.Ack)

// Run lets the flows run from 0 until end, and measures them from warm on.
func Run(l Link, flows []Flow, warm, end time.Duration, watch Watch) []Result {
	s := &sim{link: l, random: rand.New(rand.NewPCG(l.Seed, 1)), warm: warm, end: end}
	for i, f := range flows {
		s.senders = append(s.senders, newSender(s, i, f))
	}
	for {
		first, at := (*sender)(nil), end
		for _, f := range s.senders {
			if f.next < at {
				first, at = f, f.next
			}
		}
		if first == nil {
			break
		}
		s.now = at
		acks := first.step(at)
		if watch != nil && acks {
			watch(first.index, at, first.last)
		}
	}
	var results []Result
	for _, f := range s.senders {
		results = append(results, f.result())
	}
	return results
}

// epoch is where virtual time begins: the zero time means "never" to controllers.
var epoch = time.Unix(1_000_000, 0)

func clock(d time.Duration) time.Time { return epoch.Add(d) }

type sim struct {
	link      Link
	random    *rand.Rand
	senders   []*sender
	now       time.Duration
	busyUntil time.Duration // of the link
	bursting  bool
	warm, end time.Duration
}

// carry takes a packet at now and says when it arrives, or that it doesn't, and how long it waited.
func (s *sim) carry(bytes int) (arrives, waited time.Duration, ok bool) {
	if s.unlucky() {
		return 0, 0, false
	}
	waited = max(0, s.busyUntil-s.now)
	if waited.Seconds()*s.link.Rate > float64(s.link.Queue) {
		return 0, waited, false
	}
	s.busyUntil = s.now + waited + time.Duration(float64(bytes)/s.link.Rate*1e9)
	return s.busyUntil + s.link.Delay, waited, true
}

// unlucky is Gilbert's model: of the packets, Loss are lost, in runs of Burst in the mean.
func (s *sim) unlucky() bool {
	if s.link.Loss <= 0 {
		return false
	}
	if s.link.Burst <= 1 {
		return s.random.Float64() < s.link.Loss
	}
	leave := 1 / s.link.Burst
	enter := leave * s.link.Loss / (1 - s.link.Loss)
	if s.bursting {
		s.bursting = s.random.Float64() >= leave
	} else {
		s.bursting = s.random.Float64() < enter
	}
	return s.bursting
}
