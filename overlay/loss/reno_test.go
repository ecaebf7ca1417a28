package loss

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

	"github.com/wherry/wherry/overlay/congest"
)

var rewrite = flag.Bool("rewrite", false, "write what the commands of testdata/*/*.txt print back into them")

// TestRenoScripts plays testdata/reno/*.txt: the lecture's numbered packets, sent by Reno over a way with a round trip of 100 ms, with the Tracker to find
// losses and to run the timers. A command stands on a line that begins with "> "; what it prints follows.
//
//	sender WINDOW          a new one, whose first window is so many packets
//	lose NUMBER...         the next time that these packets are sent, they are lost; "4x3" is three times; 0 is a probe without data
//	send COUNT             the application has so many packets more
//	events                 what happens until nothing is outstanding
//	rounds COUNT           the window at the end of each round trip, with enough to send
//
// `go test ./overlay/loss -run TestRenoScripts -rewrite` fills them in.
func TestRenoScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/reno/*.txt")
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
			} else if got != string(text) {
				t.Errorf("%s (-rewrite updates it):\n%s", file, got)
			}
		})
	}
}

func play(t *testing.T, text string) string {
	var out strings.Builder
	var l *lecture
	for line := range strings.Lines(text) {
		command, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "> ")
		if strings.HasPrefix(line, "#") || ok {
			out.WriteString(line)
		}
		if !ok {
			continue
		}
		word, rest, _ := strings.Cut(command, " ")
		switch word {
		case "sender":
			l = newLecture(t, atoi(t, rest), &out)
		case "lose":
			for f := range strings.FieldsSeq(rest) {
				n, times, ok := strings.Cut(f, "x")
				if !ok {
					times = "1"
				}
				l.lose[atoi(t, n)] = atoi(t, times)
			}
		case "send":
			l.data += atoi(t, rest)
		case "events":
			l.verbose = true
			l.pump(0)
			for (len(l.flights) > 0 || l.track.InFlight() > 0) && l.now < time.Minute {
				l.step()
			}
		case "rounds":
			l.rounds(atoi(t, rest))
		default:
			t.Fatalf("no command %q", word)
		}
	}
	return out.String()
}

func atoi(t *testing.T, text string) int {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const (
	lectureTrip   = 100 * time.Millisecond
	lecturePacket = 1000
)

// lecture is a sender of numbered packets and their receiver. What travels is numbered anew each time that it is sent, as the overlay does it; the
// receiver's answer says which arrived, and up to which number of the lecture nothing is missing.
type lecture struct {
	t       *testing.T
	out     *strings.Builder
	verbose bool
	now     time.Duration
	c       congest.Controller
	track   *Tracker[int] // what is in a packet is its number in the lecture; 0: nothing
	data    int           // packets of the application
	next    int           // to be sent for the first time
	again   []int         // lost, to be sent again
	probes  int           // packets that may leave whatever the window says
	lose    map[int]int
	flights []arrival

	received Received
	got      map[int]bool
	cum      int
	said     int // the last cumulative answer that the sender has seen
}

// arrival is a packet that will have been answered at a time.
type arrival struct {
	at     time.Duration
	number uint64
	data   int
}

func newLecture(t *testing.T, window int, out *strings.Builder) *lecture {
	c, err := congest.New(congest.KindReno, congest.Options{Packet: lecturePacket, Initial: window * lecturePacket})
	if err != nil {
		t.Fatal(err)
	}
	return &lecture{t: t, out: out, c: c, track: New[int](5 * time.Millisecond), next: 1, lose: map[int]int{}, got: map[int]bool{}}
}

func (l *lecture) printf(format string, args ...any) {
	if l.verbose {
		fmt.Fprintf(l.out, "%4d ms  "+format+"\n", append([]any{l.now.Milliseconds()}, args...)...)
	}
}

func (l *lecture) window() string {
	return fmt.Sprintf("W %.4g, %s", float64(l.c.Window())/lecturePacket, l.c.State())
}

// pump sends what the window has room for, and what may leave without: what was lost first.
func (l *lecture) pump(free int) {
	var sent []string
	for {
		again := len(l.again) > 0
		room := l.track.InFlight()+lecturePacket <= l.c.Window()
		switch {
		case again && (room || free > 0):
			sent = append(sent, l.transmit(l.again[0]))
			l.again = l.again[1:]
		case l.next <= l.data && (room || l.probes > 0):
			sent = append(sent, l.transmit(l.next))
			l.next++
		case l.probes > 0:
			sent = append(sent, l.transmit(0))
		default:
			if len(sent) > 0 {
				l.printf("send %s", strings.Join(sent, " "))
			}
			return
		}
		free, l.probes = free-1, max(l.probes-1, 0)
	}
}

func (l *lecture) transmit(data int) string {
	number := l.track.Next()
	l.track.Sent(start.Add(l.now), Packet[int]{Number: number, Bytes: lecturePacket, Eliciting: true, Frames: data})
	l.c.OnSent(start.Add(l.now), lecturePacket, l.track.InFlight())
	word := strconv.Itoa(data)
	if data == 0 {
		word = "probe"
	}
	if l.lose[data] > 0 {
		l.lose[data]--
		return word + "(lost)"
	}
	l.flights = append(l.flights, arrival{l.now + lectureTrip, number, data})
	return word
}

// step goes on to the next answer or timer.
func (l *lecture) step() {
	due := l.track.Timer()
	if len(l.flights) == 0 || !due.IsZero() && due.Before(start.Add(l.flights[0].at)) {
		l.now = due.Sub(start)
		l.expire()
		return
	}
	f := l.flights[0]
	l.flights = l.flights[1:]
	l.now = f.at
	l.received.Add(f.number)
	l.got[f.data] = true
	for l.got[l.cum+1] {
		l.cum++
	}
	r, err := l.track.Ack(start.Add(l.now), slices.Clone(l.received.Ranges()), 0, func(*Packet[int]) {}, l.lost)
	if err != nil {
		l.t.Fatal(err)
	}
	free := 0
	if r.Loss.Bytes > 0 {
		l.c.OnLoss(r.Loss)
		free = 1 // RFC 6675 §5 (4.3): the first at once
	}
	l.c.OnAck(r.Ack)
	again := ""
	if l.cum == l.said {
		again = " again"
	}
	l.said = l.cum
	l.printf("ACK %d%s: %s", l.cum, again, l.window())
	l.pump(free)
}

func (l *lecture) lost(p *Packet[int]) {
	if p.Frames > 0 && !l.got[p.Frames] {
		l.again = append(l.again, p.Frames)
	}
}

func (l *lecture) expire() {
	r, verdict := l.track.Expire(start.Add(l.now), l.lost)
	switch verdict {
	case Nothing:
		if r.Loss.Bytes > 0 {
			l.c.OnLoss(r.Loss)
			l.printf("lost by time: %s", l.window())
		}
		l.pump(1)
	case Probe:
		l.printf("no answer")
		l.probes = 1
		l.pump(0)
	case Timeout:
		l.c.OnTimeout(start.Add(l.now))
		l.printf("timeout: %s", l.window())
		l.pump(0)
	}
}

func (l *lecture) rounds(n int) {
	l.verbose = false
	l.data = 1 << 30
	l.pump(0)
	for range n {
		end := l.now + lectureTrip
		for len(l.flights) > 0 && l.flights[0].at <= end || !l.track.Timer().IsZero() && !l.track.Timer().After(start.Add(end)) {
			l.step()
		}
		l.now = end
		fmt.Fprintf(l.out, "%5d ms  %s\n", l.now.Milliseconds(), l.window())
	}
}
