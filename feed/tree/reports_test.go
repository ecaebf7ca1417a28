package tree

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/feed/tree/treetest"
)

// said parses "node parent boot.count seq [away]".
func said(t *testing.T, text string) feed.Report {
	t.Helper()
	var r feed.Report
	var parent, boot string
	f := strings.Fields(text)
	r.Node, parent, boot = config.NodeID(f[0]), f[1], f[2]
	r.Parent = config.NodeID(parent)
	if _, err := fmt.Sscanf(strings.Replace(boot, ".", " ", 1), "%s %d", &r.Boot, &r.Count); err != nil {
		t.Fatal(err)
	}
	var started int64
	fmt.Sscan(r.Boot, &started)
	r.Started = noon.Add(time.Duration(started) * time.Second)
	r.Position.Epoch = 1
	fmt.Sscan(f[3], &r.Position.Seq)
	r.Away = len(f) > 4
	return r
}

// TestWhoMaySayWhat runs scripts at the node "self" whose children are a and b, and whose parent is top. A line is a second later than
// the one before: "from: reports => what became of them", or "from (root): …".
func TestWhoMaySayWhat(t *testing.T) {
	for name, script := range map[string]string{
		"a node speaks for itself": `
			a: a self 1.1 5 => taken 1
			a: a self 1.2 6 => taken 1
			b: b self 1.1 5 => taken 1`,
		"what is older is ignored": `
			a: a self 1.5 5 => taken 1
			a: a self 1.5 5 => old 1
			a: a self 1.4 9 => old 1`,
		"a node that was started again counts anew": `
			a: a self 1.50 5 => taken 1
			a: a self 2.1 4 => taken 1
			a: a self 2.2 5 => taken 1`,
		"an earlier boot of a node isn't believed to its relay": `
			a: a self 1.1 5 => taken 1
			a: n a 2.1 5 => taken 1
			a: n a 1.99 9 => old 1`,
		"it is when nothing was heard of the later one": `
			a: a self 1.1 5 => taken 1
			a: n a 2.1 5 => taken 1
			a: a self 1.2 5 => taken 1
			a: a self 1.3 5 => taken 1
			a: n a 1.1 5 => taken 1`,
		"a relay speaks for who is below it, in any order": `
			a: x n 1.1 5; n m 1.1 5; m a 1.1 5; a self 1.1 5 => taken 4`,
		"but not for who isn't": `
			a: a self 1.1 5 => taken 1
			a: n m 1.1 5 => outside 1
			a: n b 1.1 5 => outside 1
			a: n self 1.1 5 => outside 1`,
		"nor for a child of the same parent": `
			b: b self 1.1 5 => taken 1
			a: b a 1.9 9 => outside 1`,
		"nor for who is above": `
			a: self a 1.1 5 => outside 1
			a: top a 1.1 5 => outside 1`,
		"nor for who is below another": `
			a: a self 1.1 5 => taken 1
			b: b self 1.1 5 => taken 1
			b: m b 1.1 5 => taken 1
			a: n m 1.1 5 => outside 1`,
		"nor in a circle": `
			a: a self 1.1 5 => taken 1
			a: n m 1.1 5; m n 1.1 5 => outside 2`,
		"a node moves": `
			a: a self 1.1 5; n a 1.1 5 => taken 2
			b: b self 1.1 5; n b 1.2 5 => taken 2
			a: n a 1.1 5 away => old 1`,
		"a parent says that a node is away": `
			a: a self 1.1 5; n a 1.1 5 => taken 2
			a: n a 1.1 5 away => taken 1
			a: n a 1.1 5 away => old 1
			a: n a 1.2 5 => taken 1`,
		"only the one that it is below": `
			a: a self 1.1 5; n a 1.1 5 => taken 2
			b: b self 1.1 5; n b 1.1 5 away => taken 1 old 1`,
		"other roots tell of theirs": `
			root2 (root): root2 - 1.1 5; n m 1.1 5 => taken 2
			a: root2 a 1.9 9 => outside 1
			a: a self 1.1 5; n a 1.2 6 => taken 2
			root2 (root): n m 1.1 5 => old 1`,
		"what isn't a report": `
			a: - - 1.1 5 => unusable 1`,
	} {
		t.Run(name, func(t *testing.T) {
			p := newReports("self", 100, "boot")
			p.joined("a")
			p.joined("b")
			now := noon
			for line := range strings.Lines(strings.TrimSpace(script)) {
				now = now.Add(time.Second)
				who, rest, _ := strings.Cut(line, ":")
				what, want, _ := strings.Cut(rest, "=>")
				id, root := strings.CutSuffix(strings.TrimSpace(who), " (root)")
				var batch [][]byte
				for one := range strings.SplitSeq(what, ";") {
					r := said(t, one)
					if r.Node == "-" {
						r.Node = ""
					}
					text, _ := json.Marshal(r)
					batch = append(batch, text)
				}
				became := p.take(sender{config.NodeID(id), root}, batch, []config.NodeID{"top"}, now).became
				var got []string
				for _, k := range []string{taken, old, outside, full, unusable} {
					if became[k] > 0 {
						got = append(got, fmt.Sprint(k, " ", became[k]))
					}
				}
				if strings.Join(got, " ") != strings.TrimSpace(want) {
					t.Errorf("%s: became %s", strings.TrimSpace(line), strings.Join(got, " "))
				}
			}
		})
	}
}

func take(t *testing.T, p *reports, from string, now time.Time, texts ...string) {
	t.Helper()
	var batch [][]byte
	for _, text := range texts {
		raw, _ := json.Marshal(said(t, text))
		batch = append(batch, raw)
	}
	p.take(sender{id: config.NodeID(from)}, batch, nil, now)
}

func TestAway(t *testing.T) {
	p := newReports("self", 100, "boot")
	p.joined("a")
	p.joined("b")
	p.joined("c")
	take(t, p, "a", noon, "a self 1.1 5")
	take(t, p, "b", noon, "b self 1.1 5")
	take(t, p, "c", noon, "c self 1.1 5")
	p.left("a", noon.Add(time.Second))
	p.left("b", noon.Add(time.Second))
	p.joined("b") // it came again at once
	take(t, p, "b", noon.Add(time.Second), "b self 1.2 5")
	away := func(now time.Time) (ids string) {
		for id, s := range p.all(now) {
			if s.Away {
				ids += string(id)
			}
		}
		return ids
	}
	if p.tick(noon.Add(time.Second)); away(noon) != "" {
		t.Error("a child is said to be away before it can have come again")
	}
	if p.tick(noon.Add(time.Second + awayGrace)); away(noon) != "a" {
		t.Errorf("away: %q, want a", away(noon))
	}
	if p.tick(noon.Add(3 * time.Second)); len(away(noon)) != 2 || strings.Contains(away(noon), "b") {
		t.Errorf("away: %q, want a and c, which is silent", away(noon))
	}
	if p.all(noon.Add(3 * time.Second))["b"].Live != true || p.all(noon.Add(4 * time.Second))["b"].Live != false {
		t.Error("a node is live while its report is younger than 3 s")
	}
	if p.forget(noon.Add(time.Hour), time.Minute); len(p.rows) != 0 {
		t.Error("nodes aren't forgotten")
	}
}

func TestTableIsBounded(t *testing.T) {
	p := newReports("self", 3, "boot")
	for i := range 10 {
		id := fmt.Sprint("n", i)
		take(t, p, id, noon.Add(time.Duration(i)*time.Second), id+" self 1.1 5")
		if len(p.rows) > 3 {
			t.Fatalf("%d nodes are known, want at most 3", len(p.rows))
		}
	}
	sum := 0
	for _, n := range p.counts {
		sum += n
	}
	if sum != len(p.rows) {
		t.Errorf("%d nodes are counted, %d are known", sum, len(p.rows))
	}
}

// TestUplinkGetsTheLatest lets reports gather before they are taken.
func TestUplinkGetsTheLatest(t *testing.T) {
	p := newReports("self", 100, "boot")
	p.say(feed.Report{}, noon)
	take(t, p, "a", noon, "a self 1.1 5")
	u := p.attach(false, noon)
	for count := 2; count < 9; count++ {
		take(t, p, "a", noon, fmt.Sprintf("a self 1.%d %d", count, count))
	}
	got := map[config.NodeID]feed.Report{}
	for _, raw := range p.next(u) {
		var r feed.Report
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Fatal(err)
		}
		got[r.Node] = r
	}
	if len(got) != 2 || got["a"].Count != 8 || got["self"].Count == 0 || got["self"].Boot != "boot" {
		t.Errorf("got %v", got)
	}
	if again := p.next(u); len(again) != 0 {
		t.Errorf("%d reports are sent twice", len(again))
	}
	roots := p.attach(true, noon)
	p.take(sender{"root2", true}, [][]byte{[]byte(`{"node":"z","boot":"1","count":1}`)}, nil, noon)
	for _, raw := range p.next(roots) {
		if strings.Contains(string(raw), `"z"`) {
			t.Error("what one root says is told to another")
		}
	}
}

func TestFlood(t *testing.T) {
	l := newLimits()
	now := noon
	l.set(now, 1)
	for range 100 { // ten seconds of what a busy node sends
		now = now.Add(100 * time.Millisecond)
		if err := l.allow(now, 5, 5000); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	for range 100 {
		now = now.Add(time.Millisecond)
		if err = l.allow(now, 20, 20000); err != nil {
			break
		}
	}
	if err == nil {
		t.Error("20,000 reports a second of one node aren't a flood")
	}
	l.set(now, 1000)
	now = now.Add(10 * time.Second)
	if err := l.allow(now, 5000, 5<<20); err != nil {
		t.Errorf("a relay for a thousand nodes: %v", err)
	}
	if err := newLimits().allow(noon, 1, 20<<20); err != nil {
		t.Logf("large reports: %v", err)
	}
}

// TestRelayComesWithThousands sends the reports of a large subtree at once: that is no flood, the same again and again is.
func TestRelayComesWithThousands(t *testing.T) {
	tree, err := New(Options{
		Self: "self", Keeper: treetest.NewControl(1).Keeper(), Transport: http.DefaultTransport, Log: slog.New(slog.DiscardHandler),
		Peer: func(*http.Request) (config.NodeID, []feed.Role, bool) { return "", nil, false }, Now: func() time.Time { return noon },
	})
	if err != nil {
		t.Fatal(err)
	}
	send := func(count int) error {
		all := [][]byte{fmt.Appendf(nil, `{"node":"a","boot":"1","count":%d}`, count)}
		for i := range 5000 {
			all = append(all, fmt.Appendf(nil, `{"node":"n%d","boot":"1","count":%d,"parent":"a"}`, i, count))
		}
		frames, _ := AppendReports(nil, all...)
		return tree.takeReports(sender{id: "a"}, bufio.NewReader(bytes.NewReader(frames)))
	}
	if err := send(1); err != nil || len(tree.Reports()) != 5001 {
		t.Fatalf("%d nodes, %v", len(tree.Reports()), err)
	}
	if err := send(2); !errors.Is(err, errFlood) {
		t.Errorf("all of them again in the same moment: %v", err)
	}
}

// TestLongReport says more than fits.
func TestLongReport(t *testing.T) {
	p := newReports("self", 100, "boot")
	r := feed.Report{Alerts: []string{"hot"}}
	for i := range 30_000 {
		r.Sites = append(r.Sites, feed.SiteTally{Site: config.SiteName(fmt.Sprint("site-", i)), Since: noon})
	}
	p.say(r, noon)
	all := p.next(p.attach(false, noon))
	var got feed.Report
	if len(all) != 1 || len(all[0]) > reportMax || json.Unmarshal(all[0], &got) != nil || len(got.Sites) != 0 || len(got.Alerts) != 2 {
		t.Errorf("%d reports, with %d sites and the alerts %q", len(all), len(got.Sites), got.Alerts)
	}
}

func BenchmarkReports(b *testing.B) {
	p := newReports("self", 10000, "boot")
	for i := range 5000 {
		id := config.NodeID(fmt.Sprint("node-", i))
		p.set(id, &row{report: feed.Report{Node: id}, at: noon, via: id})
	}
	b.ReportAllocs()
	for b.Loop() {
		p.all(noon)
	}
}
