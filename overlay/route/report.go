package route

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wherry/wherry/config"
)

// Bounds of what nodes say to each other.
const (
	reportVersion  = 1
	reportLinksMax = 32
	nameMax        = 253
	tripMax        = 30 * time.Second
	tripUnit       = 16 * time.Microsecond
	// ReportBytesMax is the longest encoded Report.
	ReportBytesMax = 4 << 10
	// DigestBytesMax and DigestReportsMax bound a digest.
	DigestBytesMax, DigestReportsMax = 256 << 10, 512
)

// Link is what a node reports of its way to another one.
type Link struct {
	To       config.NodeID
	Dead     bool
	RTT      time.Duration
	Variance time.Duration
	Loss     float64 // part of the packets
	Capacity float64 // bytes a second; 0: unknown
	Age      time.Duration
}

// Report is what a node says of its direct links, to whoever wants to know.
//
//	byte     version, 1
//	uvarint  length of the name, then the node's name
//	uvarint  spare: bytes a second that it would forward for others
//	byte     number of links, at most 32; of each:
//	  uvarint  length of the name, then the name of the other node
//	  byte     1: dead
//	  uvarint  round trip, in 16 µs
//	  uvarint  its variance, in 16 µs
//	  uint16   loss, in 1/65535
//	  byte     capacity: 2^(n/8) bytes a second; 0: unknown
//	  byte     age in seconds, 255: or more
type Report struct {
	Node  config.NodeID
	Spare float64
	Links []Link
}

// Append encodes a report. Links beyond what a report may hold are left out: put those that matter first.
func (r *Report) Append(b []byte) []byte {
	start := len(b)
	b = append(b, reportVersion)
	b = appendName(b, r.Node)
	b = binary.AppendUvarint(b, uint64(min(max(r.Spare, 0), 1<<50)))
	at := len(b)
	b = append(b, 0)
	for _, l := range r.Links[:min(len(r.Links), reportLinksMax)] {
		before := len(b)
		b = appendName(b, l.To)
		b = append(b, bit(l.Dead))
		b = binary.AppendUvarint(b, ticks(l.RTT))
		b = binary.AppendUvarint(b, ticks(l.Variance))
		b = binary.BigEndian.AppendUint16(b, uint16(math.Round(min(max(l.Loss, 0), 1)*math.MaxUint16)))
		b = append(b, scale(l.Capacity), byte(min(max(l.Age/time.Second, 0), math.MaxUint8)))
		if len(b)-start > ReportBytesMax {
			return b[:before]
		}
		b[at]++
	}
	return b
}

func appendName(b []byte, id config.NodeID) []byte {
	return append(binary.AppendUvarint(b, uint64(len(id))), id...)
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}

func ticks(d time.Duration) uint64 { return uint64(min(max(d, 0), tripMax) / tripUnit) }

func scale(v float64) byte {
	if !(v > 1) {
		return 0
	}
	return byte(min(math.Round(8*math.Log2(v)), math.MaxUint8))
}

var errReport = errors.New("not a report of links")

// ParseReport decodes what another node said. What is impossible is refused, so that what is accepted needs no further look.
func ParseReport(b []byte) (Report, error) {
	if len(b) > ReportBytesMax {
		return Report{}, fmt.Errorf("%w: %d bytes, at most %d", errReport, len(b), ReportBytesMax)
	}
	d := decoder{b: b}
	if d.byte() != reportVersion {
		return Report{}, fmt.Errorf("%w: another version", errReport)
	}
	r := Report{Node: d.name(), Spare: float64(d.uvarint(1 << 50))}
	n := int(d.byte())
	if n > reportLinksMax {
		return Report{}, fmt.Errorf("%w: %d links", errReport, n)
	}
	for range n {
		l := Link{To: d.name(), Dead: d.bool()}
		l.RTT = time.Duration(d.uvarint(uint64(tripMax/tripUnit))) * tripUnit
		l.Variance = time.Duration(d.uvarint(uint64(tripMax/tripUnit))) * tripUnit
		l.Loss = float64(d.uint16()) / math.MaxUint16
		if c := d.byte(); c > 0 {
			l.Capacity = math.Exp2(float64(c) / 8)
		}
		l.Age = time.Duration(d.byte()) * time.Second
		if d.bad {
			break
		}
		if l.To == r.Node || slices.ContainsFunc(r.Links, func(o Link) bool { return o.To == l.To }) {
			return Report{}, fmt.Errorf("%w: a link to %.64q that can't be", errReport, l.To)
		}
		r.Links = append(r.Links, l)
	}
	if d.bad || len(d.b) > 0 {
		return Report{}, fmt.Errorf("%w: cut off or too long", errReport)
	}
	return r, nil
}

// decoder takes values off b; bad remembers that something was missing or impossible.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || n > len(d.b) {
		d.bad = true
		return nil
	}
	head := d.b[:n]
	d.b = d.b[n:]
	return head
}

func (d *decoder) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) bool() bool {
	v := d.byte()
	d.bad = d.bad || v > 1
	return v == 1
}

func (d *decoder) uint16() uint16 {
	if b := d.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) uvarint(most uint64) uint64 {
	if d.bad {
		return 0
	}
	v, n := binary.Uvarint(d.b)
	// One value has one form.
	if n <= 0 || v > most || n > 1 && d.b[n-1] == 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) name() config.NodeID {
	b := d.take(int(d.uvarint(nameMax)))
	if len(b) == 0 || !utf8.Valid(b) || strings.ContainsFunc(string(b), func(r rune) bool { return r <= ' ' }) {
		d.bad = true
	}
	return config.NodeID(b)
}

// AppendDigest adds an encoded report to a digest, which is how reports travel together: each with its length before it. It returns false if the digest
// is full.
func AppendDigest(digest, report []byte) ([]byte, bool) {
	if len(digest)+len(report)+binary.MaxVarintLen16 > DigestBytesMax {
		return digest, false
	}
	return append(binary.AppendUvarint(digest, uint64(len(report))), report...), true
}

// ParseDigest hands each report of a digest to take. One that can't be read is an error, but those before it were handed on.
func ParseDigest(b []byte, take func(Report)) error {
	if len(b) > DigestBytesMax {
		return fmt.Errorf("a digest of %d bytes: at most %d", len(b), DigestBytesMax)
	}
	d := decoder{b: b}
	for n := 0; len(d.b) > 0; n++ {
		report := d.take(int(d.uvarint(ReportBytesMax)))
		if d.bad || n >= DigestReportsMax {
			return errors.New("a digest that is cut off or too long")
		}
		r, err := ParseReport(report)
		if err != nil {
			return err
		}
		take(r)
	}
	return nil
}

// Report is what this node has measured, its newest measurements first.
func (r *Router) Report(now time.Time) Report {
	report := Report{Node: r.o.Self, Spare: r.spare}
	for _, w := range r.ways {
		if !w.route.Direct() || w.roles == 0 {
			continue
		}
		e := w.est.Estimate(now)
		if e.State == Unknown || e.Age > hintFor && e.State != Dead {
			continue
		}
		report.Links = append(report.Links, Link{
			To: w.route.To, Dead: e.State >= Suspect, RTT: e.Smoothed, Variance: e.Variance, Loss: e.loss(), Capacity: e.Capacity, Age: e.Age,
		})
	}
	slices.SortStableFunc(report.Links, func(a, b Link) int { return int(a.Age/time.Second) - int(b.Age/time.Second) })
	report.Links = report.Links[:min(len(report.Links), reportLinksMax)]
	return report
}

// SetSpare says how many bytes a second this node would forward for others; it is in the report.
func (r *Router) SetSpare(bytesPerSecond float64) { r.spare = max(bytesPerSecond, 0) }

// Take takes another node's report. That it is of that node is for the caller to know. Nodes that nobody knows are ignored.
func (r *Router) Take(report Report, now time.Time) {
	if r.byID[report.Node] == nil {
		return
	}
	r.graph.take(report, now, func(a, b config.NodeID) time.Duration { return light(r.place(a), r.place(b)) })
}

// Wants are the nodes whose reports this one has a use for: where its traffic goes, and its neighbours. Their number doesn't grow with the network.
func (r *Router) Wants(now time.Time) []config.NodeID {
	list := r.Neighbours()
	for _, d := range r.dests {
		if now.Sub(d.asked) < idleTime && !slices.Contains(list, d.to) {
			list = append(list, d.to)
		}
	}
	return list
}

func (r *Router) place(id config.NodeID) *config.Location {
	if id == r.o.Self {
		return r.self.Place
	}
	if p := r.byID[id]; p != nil {
		return p.Place
	}
	return nil
}
