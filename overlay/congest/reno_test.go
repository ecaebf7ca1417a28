package congest_test

import (
	"flag"
	"fmt"
	"math"
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

// TestRenoScripts plays testdata/reno/*.txt: the textbook's sender, with cumulative acknowledgements and a round trip of 100 ms, asks Reno for its
// window. A command stands on a line that begins with "> "; what it prints follows.
//
//	sender WINDOW          a new one, whose first window is so many packets
//	lose NUMBER...         the next time that these packets are sent, they are lost; "4x3" is three times
//	send COUNT             the application has so many packets more
//	events                 what happens until nothing is outstanding
//	rounds COUNT           the window at the end of each round trip, with enough to send
//
// `go test ./overlay/congest -run TestRenoScripts -rewrite` fills them in.
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
			got := playReno(string(text))
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

func playReno(text string) string {
	var out strings.Builder
	var s *textbook
	for line := range strings.Lines(text) {
		command, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "> ")
		if strings.HasPrefix(line, "#") || line == "\n" {
			out.WriteString(line)
		}
		if !ok {
			continue
		}
		out.WriteString(line)
		word, rest, _ := strings.Cut(command, " ")
		switch word {
		case "sender":
			s = newTextbook(number(rest), &out)
		case "lose":
			for _, f := range strings.Fields(rest) {
				n, times, ok := strings.Cut(f, "x")
				if !ok {
					times = "1"
				}
				s.lose[number(n)] = number(times)
			}
		case "send":
			s.data += number(rest)
		case "events":
			s.verbose = true
			s.run(func() bool { return s.outstanding() == 0 && s.next > s.data })
		case "rounds":
			s.rounds(number(rest))
		default:
			fmt.Fprintf(&out, "no command %q\n", word)
		}
	}
	return out.String()
}

func number(text string) int {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		panic(err)
	}
	return n
}

const roundTrip = 100 * time.Millisecond

// textbook is a sender of numbered packets over a way without a bottleneck, and its receiver, which acknowledges each packet with the last number up to
// which nothing is missing.
type textbook struct {
	c       congest.Controller
	out     *strings.Builder
	verbose bool
	now     time.Duration
	data    int // packets of the application
	next    int // to be sent
	sent    int // the highest that was
	acked   int // all up to here
	left    int // packets above that have arrived, by the duplicates
	dups    int
	lose    map[int]int
	flights []flight // in the order of their acknowledgement
	number  uint64   // of transmissions
	highest uint64   // acknowledged
	got     map[int]bool
	cum     int // the receiver's
	timer   time.Duration
	rto     time.Duration
	recover int // the highest sent when the last loss was found
}

// flight is an acknowledgement under way.
type flight struct {
	at     time.Duration
	cum    int
	number uint64
	sent   time.Duration
}

func newTextbook(window int, out *strings.Builder) *textbook {
	c, err := congest.New(congest.KindReno, congest.Options{Packet: packet, Initial: window * packet})
	if err != nil {
		panic(err)
	}
	return &textbook{c: c, out: out, next: 1, lose: map[int]int{}, got: map[int]bool{}, timer: math.MaxInt64, rto: 300 * time.Millisecond}
}

func (s *textbook) outstanding() int { return s.sent - s.acked - s.left }

func (s *textbook) printf(format string, args ...any) {
	if s.verbose {
		fmt.Fprintf(s.out, format, args...)
	}
}

func (s *textbook) clock() time.Time { return time.Unix(1000, 0).Add(s.now) }

func (s *textbook) window() string {
	return fmt.Sprintf("W %.4g, %s", float64(s.c.Window())/packet, s.c.State())
}

// pump sends what the window has room for.
func (s *textbook) pump() {
	var sent []string
	for s.next <= s.data && (s.next-1-s.acked-s.left+1)*packet <= s.c.Window() {
		sent = append(sent, s.transmit(s.next))
		s.next++
	}
	if len(sent) > 0 {
		s.printf("%4d ms  send %s\n", s.now.Milliseconds(), strings.Join(sent, " "))
	}
}

func (s *textbook) transmit(n int) string {
	s.number++
	s.sent = max(s.sent, n)
	s.c.OnSent(s.clock(), packet, s.outstanding()*packet)
	if s.timer == math.MaxInt64 {
		s.timer = s.now + s.rto
	}
	if s.lose[n] > 0 {
		s.lose[n]--
		return fmt.Sprintf("%d(lost)", n)
	}
	s.got[n] = true
	for s.got[s.cum+1] {
		s.cum++
	}
	s.flights = append(s.flights, flight{s.now + roundTrip, s.cum, s.number - 1, s.now})
	return strconv.Itoa(n)
}

func (s *textbook) run(done func() bool) {
	s.pump()
	for !done() {
		s.step()
	}
}

func (s *textbook) step() {
	if len(s.flights) == 0 || s.flights[0].at > s.timer {
		s.now = s.timer
		s.timeout()
		return
	}
	f := s.flights[0]
	s.flights = s.flights[1:]
	s.now = f.at
	s.highest = max(s.highest, f.number)
	if f.cum == s.acked {
		s.duplicate()
	} else {
		s.acknowledge(f)
	}
	s.pump()
}

func (s *textbook) acknowledge(f flight) {
	prior := s.outstanding()
	partial := f.cum < s.recover
	if partial { // RFC 6582 §3.2 step 3: another packet of the same window
		s.lost(f.cum)
	}
	bytes := (f.cum - s.acked) * packet
	s.acked, s.dups = f.cum, 0
	s.left = max(0, s.left-(bytes/packet-1))
	s.next = max(s.next, s.acked+1)
	s.timer = s.now + s.rto
	if s.acked == s.sent {
		s.timer, s.left = math.MaxInt64, 0
	}
	s.c.OnAck(congest.Ack{
		Now: s.clock(), Bytes: bytes, Sent: time.Unix(1000, 0).Add(f.sent), Largest: s.highest, Next: s.number, RTT: roundTrip, Smoothed: roundTrip, Min: roundTrip,
		Prior: prior * packet, InFlight: s.outstanding() * packet,
	})
	s.printf("%4d ms  ACK %d: %s\n", s.now.Milliseconds(), s.acked, s.window())
	if partial {
		s.printf("%4d ms  send %s\n", s.now.Milliseconds(), s.transmit(s.acked+1))
	}
}

// duplicate is RFC 5681 §3.2.
func (s *textbook) duplicate() {
	s.dups++
	s.left++
	s.printf("%4d ms  ACK %d again\n", s.now.Milliseconds(), s.acked)
	if s.dups != 3 || s.acked < s.recover {
		return
	}
	s.recover = s.sent
	s.lost(s.acked)
	s.printf("%4d ms  fast retransmit %s: %s\n", s.now.Milliseconds(), s.transmit(s.acked+1), s.window())
}

// lost tells of the packet after those that are acknowledged; in these scripts it has the number of its first transmission.
func (s *textbook) lost(acked int) {
	s.c.OnLoss(congest.Loss{
		Now: s.clock(), Bytes: packet, Largest: uint64(acked), Sent: s.clock().Add(-roundTrip), Next: s.number, InFlight: s.outstanding()*packet - packet,
		Smoothed: roundTrip, Latest: roundTrip, Min: roundTrip,
	})
}

func (s *textbook) timeout() {
	s.c.OnTimeout(s.clock())
	s.left, s.dups, s.recover = 0, 0, 0
	s.rto *= 2
	s.timer = math.MaxInt64
	s.next = s.acked + 1
	s.flights = slices.DeleteFunc(s.flights, func(flight) bool { return true })
	s.printf("%4d ms  timeout: %s\n", s.now.Milliseconds(), s.window())
	s.pump()
}

func (s *textbook) rounds(n int) {
	s.verbose = false
	s.data = math.MaxInt32
	s.pump()
	for range n {
		end := s.now + roundTrip
		for len(s.flights) > 0 && s.flights[0].at <= end || s.timer <= end {
			s.step()
		}
		s.now = end
		fmt.Fprintf(s.out, "%5d ms  %s\n", s.now.Milliseconds(), s.window())
	}
}
