package route

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
)

func TestReportsSurviveTheWire(t *testing.T) {
	r := Report{Node: "lisbon-1", Spare: 2 << 20, Links: []Link{
		{To: "osaka-1", RTT: 171200 * time.Microsecond, Variance: 1600 * time.Microsecond, Loss: 1.0 / 65535, Capacity: 1 << 23, Age: 3 * time.Second},
		{To: "paris-1", Dead: true, RTT: tripMax, Loss: 1, Age: 255 * time.Second},
	}}
	raw := r.Append(nil)
	got, err := ParseReport(raw)
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Fatalf("%v\n%+v\n%+v", err, got, r)
	}
	if len(raw) > 70 {
		t.Errorf("two links in %d bytes", len(raw))
	}
}

func TestReportsAreBounded(t *testing.T) {
	r := Report{Node: "a", Spare: math.Inf(1)}
	for i := range 100 {
		r.Links = append(r.Links, Link{
			To: config.NodeID(strings.Repeat("x", 200) + fmt.Sprint(i)), RTT: time.Hour, Variance: -1, Loss: math.Inf(1), Capacity: math.NaN(), Age: -1,
		})
	}
	raw := r.Append(nil)
	got, err := ParseReport(raw)
	if err != nil || len(raw) > ReportBytesMax || len(got.Links) == 0 || len(got.Links) > reportLinksMax {
		t.Fatalf("%v: %d bytes, %d links", err, len(raw), len(got.Links))
	}
	for _, bad := range [][]byte{nil, {2}, raw[:len(raw)-1], append(raw, 0), make([]byte, ReportBytesMax+1)} {
		if _, err := ParseReport(bad); err == nil {
			t.Errorf("%d bytes were taken", len(bad))
		}
	}
	twice := Report{Node: "a", Links: []Link{{To: "b"}, {To: "b"}}}
	self := Report{Node: "a", Links: []Link{{To: "a"}}}
	space := Report{Node: "a b"}
	for _, r := range []Report{twice, self, space, {}} {
		if _, err := ParseReport(r.Append(nil)); err == nil {
			t.Errorf("%+v was taken", r)
		}
	}
}

func TestDigests(t *testing.T) {
	var digest []byte
	n := 0
	for ok := true; ok; n++ {
		r := Report{Node: id(n), Links: []Link{{To: "b", RTT: time.Second}}}
		if digest, ok = AppendDigest(digest, r.Append(nil)); len(digest) > DigestBytesMax {
			t.Fatal("too long")
		}
		if n == DigestReportsMax {
			break
		}
	}
	got := 0
	if err := ParseDigest(digest, func(r Report) {
		if r.Node != id(got) {
			t.Errorf("%s at %d", r.Node, got)
		}
		got++
	}); err == nil || got != DigestReportsMax {
		t.Errorf("%d of %d reports, %v: want the bound", got, n, err)
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add([]byte{})
	f.Add((&Report{Node: "a"}).Append(nil))
	f.Add((&Report{Node: "lisbon-1", Spare: 1e6, Links: []Link{{To: "b", RTT: time.Second, Loss: 0.5, Capacity: 1e7}, {To: "c", Dead: true}}}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseReport(b)
		if err != nil {
			return
		}
		for _, l := range r.Links {
			if l.RTT < 0 || l.RTT > tripMax || !(l.Loss >= 0 && l.Loss <= 1) || l.Age < 0 || l.Age > 255*time.Second || !(l.Capacity >= 0) || l.To == "" {
				t.Errorf("absurd: %+v", l)
			}
		}
		if again := r.Append(nil); string(again) != string(b) {
			t.Errorf("%x was written as %x", b, again)
		}
	})
}

func FuzzParseDigest(f *testing.F) {
	one, _ := AppendDigest(nil, (&Report{Node: "a", Links: []Link{{To: "b"}}}).Append(nil))
	two, _ := AppendDigest(one, (&Report{Node: "b"}).Append(nil))
	f.Add(one)
	f.Add(two)
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		_ = ParseDigest(b, func(r Report) { n++ })
		if n > DigestReportsMax {
			t.Errorf("%d reports", n)
		}
	})
}
