package overlay

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/internal/simnet"
)

// A schedule is a network that nobody would want: two nodes talk, and a third one forwards, while links change, lose, repeat, damage and reorder packets,
// are cut, while addresses change, paths come and go, and nodes are started anew. All that is read must be what was written; a stream on a living
// connection ends whole, or because a side broke it off; nothing waits for ever; and nothing that was asked once is done twice.
type schedule struct {
	t     *testing.T
	dice  *rand.Rand // of what happens to the network
	hosts *hosts
	end   time.Time
	pause time.Duration // between questions, at most

	mu     sync.Mutex // protects what follows
	nodes  map[string]*scheduled
	conn   *Conn // alice's to bob
	helper *Conn // and to carol
	next   uint64
	done   map[uint64]int // how often bob did what was asked
	whole  int            // questions that were answered
	broken int            // and that ended with an error
	events map[string]int
	bytes  int
}

// scheduled is a node that runs.
type scheduled struct {
	endpoint *Endpoint
	moving   *movable // alice's socket
	stop     func()
}

func (w *schedule) start(name string) {
	host := map[string]*simnet.Host{"alice": w.hosts.alice, "bob": w.hosts.bob, "carol": w.hosts.carol}[name]
	n := &scheduled{}
	var conn net.PacketConn = must(host.ListenPacket("udp", ":4000"))
	if name == "alice" {
		n.moving = newMovable(conn, must(host.ListenPacket("udp", ":4001")))
		conn = n.moving
	}
	conn = &rough{
		PacketConn: conn, random: rand.New(rand.NewPCG(w.dice.Uint64(), 1)),
		copied: 0.05 * w.dice.Float64(), damaged: 0.02 * w.dice.Float64(), late: 0.05 * w.dice.Float64(),
	}
	o := options(name)
	o.Secret, o.KeepAlive = []byte(name), 5*time.Second
	if name == "carol" {
		o.Forward = func(string, string) (netip.AddrPort, error) { return at(w.hosts.bob), nil }
	}
	n.endpoint = must(New(conn, o))
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		if err := n.endpoint.Run(ctx); err != nil {
			w.t.Errorf("Run of %s: %v", name, err)
		}
	})
	all.Go(func() {
		for {
			c, err := n.endpoint.Accept(ctx)
			if err != nil {
				return
			}
			all.Go(func() { w.serve(ctx, c) })
		}
	})
	n.stop = func() {
		cancel()
		all.Wait()
	}
	w.mu.Lock()
	w.nodes[name] = n
	w.mu.Unlock()
}

// question is what a stream begins with: a number, and how long question and answer are.
const questionSize = 24

// stuck is how long a stream may take on a living connection, whatever happens.
const stuck = 10 * time.Minute

func content(id uint64) io.Reader {
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], id)
	return rand.NewChaCha8(seed)
}

// check reads a stream to its end: what comes must be the content of id.
func (w *schedule) check(s *Stream, id uint64, size int) error {
	buffer, want := make([]byte, 16<<10), make([]byte, 16<<10)
	from := content(id)
	for got := 0; ; {
		n, err := s.Read(buffer)
		_, _ = io.ReadFull(from, want[:n])
		if !bytes.Equal(buffer[:n], want[:n]) {
			w.t.Errorf("stream %d: other bytes behind %d", s.ID(), got)
			return errors.New("wrong bytes")
		}
		if got += n; got > size {
			w.t.Errorf("stream %d: %d bytes of %d", s.ID(), got, size)
		}
		if err == io.EOF {
			if got != size {
				w.t.Errorf("stream %d: it ended after %d of %d bytes", s.ID(), got, size)
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func write(s *Stream, id uint64, size int) error {
	_, err := io.CopyN(struct{ io.Writer }{s}, content(id), int64(size))
	if err == nil {
		err = s.CloseWrite()
	}
	return err
}

// serve answers the streams of a connection.
func (w *schedule) serve(ctx context.Context, c *Conn) {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		all.Go(func() {
			_ = s.SetDeadline(time.Now().Add(stuck))
			var q [questionSize]byte
			if _, err := io.ReadFull(s, q[:]); err != nil {
				w.failed(c, s, err)
				return
			}
			id, up, down := binary.BigEndian.Uint64(q[:]), binary.BigEndian.Uint64(q[8:]), binary.BigEndian.Uint64(q[16:])
			if err := w.check(s, id, int(up)); err != nil {
				w.failed(c, s, err)
				return
			}
			w.mu.Lock()
			w.done[id]++
			if w.done[id] > 1 {
				w.t.Errorf("question %d was asked once and came %d times", id, w.done[id])
			}
			w.mu.Unlock()
			if id%31 == 0 {
				s.Reset(9)
				return
			}
			if err := write(s, ^id, int(down)); err != nil {
				w.failed(c, s, err)
			}
		})
	}
}

// failed sees that there is a reason for which a stream ended.
func (w *schedule) failed(c *Conn, s *Stream, err error) {
	var broken *StreamError
	if c.Err() != nil || errors.As(err, &broken) || errors.Is(err, ErrStreamReset) || errors.Is(err, os.ErrClosed) {
		return
	}
	w.t.Errorf("stream %d of a connection that lives: %v; %+v %+v", s.ID(), err, c.Stats(), c.Paths())
}

// connection is alice's to bob.
func (w *schedule) connection(early bool) *Conn {
	w.mu.Lock()
	c, e := w.conn, w.nodes["alice"].endpoint
	w.mu.Unlock()
	if c != nil && c.Err() == nil {
		return c
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	dial := e.Dial
	if early {
		dial = e.DialEarly
	}
	c, err := dial(ctx, at(w.hosts.bob), "bob")
	if err != nil {
		time.Sleep(200 * time.Millisecond)
		return nil
	}
	w.mu.Lock()
	w.conn = c
	w.mu.Unlock()
	return c
}

func size(dice *rand.Rand) int {
	switch dice.IntN(20) {
	case 0:
		return 0
	case 1:
		return dice.IntN(2 << 20)
	default:
		return dice.IntN(1 << (4 + dice.IntN(14)))
	}
}

// ask asks bob until the schedule's end.
func (w *schedule) ask(dice *rand.Rand) {
	for time.Now().Before(w.end) {
		early := dice.IntN(2) == 0
		if c := w.connection(early); c != nil {
			w.question(c, dice, early)
		}
		time.Sleep(time.Duration(dice.Int64N(int64(w.pause))))
	}
}

func (w *schedule) question(c *Conn, dice *rand.Rand, early bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	open := c.OpenStream
	if early {
		open = c.OpenEarly
	}
	s, err := open(ctx)
	if err != nil {
		return
	}
	_ = s.SetDeadline(time.Now().Add(stuck))
	w.mu.Lock()
	w.next++
	id := w.next
	w.mu.Unlock()
	up, down := size(dice), size(dice)
	q := binary.BigEndian.AppendUint64(nil, id)
	q = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(q, uint64(up)), uint64(down))
	var wrote sync.WaitGroup
	wrote.Go(func() {
		_, err := s.Write(q)
		if err == nil {
			err = write(s, id, up)
		}
		if err != nil {
			w.failed(c, s, err)
		}
	})
	if dice.IntN(30) == 0 {
		time.Sleep(time.Duration(dice.IntN(300)) * time.Millisecond)
		s.Reset(7)
	}
	err = w.check(s, ^id, down)
	if err != nil {
		w.failed(c, s, err)
		s.Reset(7) // or the rest of the question might be written for long
	}
	wrote.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.whole++
		w.bytes += up + down
	} else {
		w.broken++
	}
}

func (w *schedule) link() simnet.Link {
	d := w.dice
	l := simnet.Link{Latency: time.Duration(1+d.IntN(120)) * time.Millisecond, RateBytesPerSecond: 100_000 << d.IntN(6)}
	l.QueueBytes = 10_000 + l.RateBytesPerSecond/int64(2+d.IntN(30))
	if d.IntN(2) == 0 {
		l.Loss = 0.1 * d.Float64() * d.Float64()
	}
	if d.IntN(2) == 0 {
		l.Jitter = time.Duration(d.IntN(60)) * time.Millisecond
	}
	if d.IntN(3) == 0 {
		l.MTUBytes = 1280 + d.IntN(300)
	}
	return l
}

// happen does what happens next to the network.
func (w *schedule) happen() string {
	d, h := w.dice, w.hosts
	pairs := [][2]*simnet.Host{{h.alice, h.bob}, {h.alice, h.carol}, {h.carol, h.bob}}
	pair := pairs[d.IntN(len(pairs))]
	w.mu.Lock()
	c, helper, alice := w.conn, w.helper, w.nodes["alice"]
	w.mu.Unlock()
	switch d.IntN(12) {
	case 0, 1, 2:
		h.net.SetLink(pair[0], pair[1], w.link())
		return "link changed"
	case 3:
		h.net.SetPath(pair[0], pair[1], w.link())
		return "one direction changed"
	case 4:
		h.net.Cut(pair[0], pair[1])
		time.Sleep(time.Duration(d.IntN(8000)) * time.Millisecond)
		h.net.Heal(pair[0], pair[1])
		return "cut"
	case 5:
		host := []*simnet.Host{h.bob, h.carol}[d.IntN(2)]
		host.Blackhole()
		time.Sleep(time.Duration(d.IntN(4000)) * time.Millisecond)
		host.Heal()
		return "silent"
	case 6, 7:
		alice.moving.moved.Store(!alice.moving.moved.Load())
		return "address changed"
	case 8:
		return w.reboot([]string{"alice", "bob", "bob", "carol"}[d.IntN(4)], d.IntN(2) == 0)
	default:
		return w.changePaths(c, helper, alice)
	}
}

// reboot starts a node anew, which says farewell before or not.
func (w *schedule) reboot(name string, farewell bool) string {
	w.mu.Lock()
	n := w.nodes[name]
	w.mu.Unlock()
	host := map[string]*simnet.Host{"alice": w.hosts.alice, "bob": w.hosts.bob, "carol": w.hosts.carol}[name]
	if !farewell {
		host.Blackhole()
	}
	n.stop()
	time.Sleep(time.Duration(w.dice.IntN(2000)) * time.Millisecond)
	host.Heal()
	w.start(name)
	return name + " rebooted"
}

// changePaths opens, drops or uses paths of alice's connection.
func (w *schedule) changePaths(c, helper *Conn, alice *scheduled) string {
	if c == nil || c.Err() != nil {
		return "nothing"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	paths := c.Paths()
	some := paths[w.dice.IntN(len(paths))].ID
	switch w.dice.IntN(6) {
	case 0:
		c.DropPath(some)
		return "path dropped"
	case 1:
		_ = c.UsePath(some)
		return "path used"
	case 2:
		c.UseForBulk(map[int]float64{some: []float64{0, 50_000}[w.dice.IntN(2)]})
		return "path for bulk"
	}
	if helper == nil || helper.Err() != nil {
		var err error
		if helper, err = alice.endpoint.DialEarly(ctx, at(w.hosts.carol), "carol"); err != nil {
			return "nothing"
		}
		w.mu.Lock()
		w.helper = helper
		w.mu.Unlock()
	}
	label, err := helper.OpenRoute(ctx, "bob")
	if err != nil {
		return "nothing"
	}
	if _, err := c.AddPath(ctx, at(w.hosts.carol), label); err != nil {
		return "no path"
	}
	return "path opened"
}

// runSchedule is one schedule of so much time.
func runSchedule(t *testing.T, seed uint64, lasts, pause time.Duration) *schedule {
	dice := rand.New(rand.NewPCG(seed, 0x73636865))
	w := &schedule{t: t, dice: dice, hosts: newHosts(simnet.Link{}), end: time.Now().Add(lasts), pause: pause, nodes: map[string]*scheduled{}, done: map[uint64]int{}, events: map[string]int{}}
	for _, pair := range [][2]*simnet.Host{{w.hosts.alice, w.hosts.bob}, {w.hosts.alice, w.hosts.carol}, {w.hosts.carol, w.hosts.bob}} {
		w.hosts.net.SetLink(pair[0], pair[1], w.link())
	}
	for _, name := range []string{"alice", "bob", "carol"} {
		w.start(name)
	}
	synctest.Wait()
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() { w.ask(rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	for time.Now().Before(w.end) {
		time.Sleep(time.Duration(dice.IntN(6000)) * time.Millisecond)
		w.events[w.happen()]++
	}
	all.Wait()
	for _, n := range w.nodes {
		n.stop()
	}
	return w
}

// TestRandomSchedules runs sixteen schedules of a minute each; with WHERRY_SOAK=1, as many of five minutes as make up
// WHERRY_SOAK_HOURS, or an hour.
func TestRandomSchedules(t *testing.T) {
	seeds, lasts, pause := uint64(16), time.Minute, 400*time.Millisecond
	if os.Getenv("WHERRY_SOAK") != "" {
		hours := 1.0
		if h, err := strconv.ParseFloat(os.Getenv("WHERRY_SOAK_HOURS"), 64); err == nil {
			hours = h
		}
		lasts, pause = 5*time.Minute, 2*time.Second
		seeds = uint64(hours * float64(time.Hour/lasts))
	}
	var whole, broken, bytes int
	events := map[string]int{}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := runSchedule(t, seed, lasts, pause)
				if whole, broken, bytes = whole+w.whole, broken+w.broken, bytes+w.bytes; w.whole == 0 {
					t.Error("no question was answered")
				}
				for what, n := range w.events {
					events[what] += n
				}
			})
		})
	}
	t.Logf("%v: %d questions answered whole, %d MB, %d broken off; %v", time.Duration(seeds)*lasts, whole, bytes>>20, broken, events)
}
