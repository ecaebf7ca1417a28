package mapper

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/wherry/wherry/config"
)

var rewrite = flag.Bool("rewrite", false, "write what the commands of testdata print back into it")

// TestScripts runs the commands of testdata/rank.txt and compares what they print.
func TestScripts(t *testing.T) {
	const file = "testdata/rank.txt"
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	w := world{}
	for block := range strings.SplitSeq(string(raw), "\n\n") {
		block = strings.TrimRight(block, "\n")
		head, want, ok := strings.Cut(block+"\n", "----\n")
		if !ok {
			fmt.Fprintf(&out, "%s\n\n", block)
			continue
		}
		lines := strings.Split(strings.TrimRight(head, "\n"), "\n")
		command := lines[len(lines)-1]
		got := w.run(t, command)
		fmt.Fprintf(&out, "%s----\n%s\n", head, got)
		if got != want && !*rewrite {
			t.Errorf("%s:\n got:\n%s want:\n%s", command, got, want)
		}
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(strings.TrimRight(out.String(), "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// world is what the commands of a script have built so far.
type world struct {
	snapshot config.Snapshot
	m        *Map
	down     map[config.NodeID]bool
}

func (w *world) run(t *testing.T, command string) string {
	t.Helper()
	name, rest, _ := strings.Cut(command, " ")
	args := strings.Fields(rest)
	switch name {
	case "cluster": // NAME LAT,LON|- PREFIX,…|- NODE,…
		w.snapshot.Clusters = append(w.snapshot.Clusters, scriptCluster(t, args, len(w.snapshot.Clusters)))
		w.m = New(&w.snapshot)
		return ""
	case "down": // NODE…
		w.down = map[config.NodeID]bool{}
		for _, n := range args {
			w.down[config.NodeID(n)] = true
		}
		return ""
	case "rank": // NETWORK [at LAT,LON] [of NETWORK]
		c := Client{Prefix: netip.MustParsePrefix(args[0])}
		for i := 1; i+1 < len(args); i += 2 {
			if args[i] == "at" {
				c.Location = scriptLocation(t, args[i+1])
			} else {
				c.Located = netip.MustParsePrefix(args[i+1])
			}
		}
		r := w.m.Rank(c, KeyOf("shop.test"), w.reports())
		return printRanking(&r)
	case "within": // CLUSTER
		r, ok := w.m.Within(config.ClusterName(args[0]), KeyOf("shop.test"), w.reports())
		if !ok {
			return "no such cluster\n"
		}
		return printRanking(&r)
	}
	t.Fatalf("unknown command %q", command)
	return ""
}

func (w *world) reports() *Reports {
	return w.m.Reports(func(e Endpoint) bool { return !w.down[e.Node] })
}

func printRanking(r *Ranking) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nscope %d:", r.Why(), r.Scope)
	for c := range r.Each {
		fmt.Fprintf(&b, " %s", c.Node.Name)
	}
	b.WriteByte('\n')
	return b.String()
}

func scriptCluster(t *testing.T, args []string, index int) config.Cluster {
	t.Helper()
	c := config.Cluster{Name: config.ClusterName(args[0])}
	if args[1] != "-" {
		c.Location = scriptLocation(t, args[1])
	}
	if args[2] != "-" {
		for p := range strings.SplitSeq(args[2], ",") {
			c.Prefixes = append(c.Prefixes, netip.MustParsePrefix(p))
		}
	}
	for i, n := range strings.Split(args[3], ",") {
		addr := netip.AddrFrom4([4]byte{192, 0, byte(index), byte(i)})
		c.Nodes = append(c.Nodes, config.Node{Name: config.NodeID(n), Addresses: []netip.Addr{addr}})
	}
	return c
}

func scriptLocation(t *testing.T, text string) *config.Location {
	t.Helper()
	var l config.Location
	if _, err := fmt.Sscanf(text, "%g,%g", &l.Latitude, &l.Longitude); err != nil {
		t.Fatalf("location %q: %v", text, err)
	}
	return &l
}

func TestNoClusters(t *testing.T) {
	m := New(&config.Snapshot{})
	client := Client{Prefix: netip.MustParsePrefix("192.0.2.1/32")}
	r := m.Rank(client, KeyOf("shop.test"), m.Reports(func(Endpoint) bool { return false }))
	for c := range r.Each {
		t.Errorf("a map without nodes ranks %s", c.Node.Name)
	}
	if got, want := r.Why(), "the network has no nodes"; got != want {
		t.Errorf("why %q, want %q", got, want)
	}
}

// A node is left out only when none of its addresses answers, and a choice says which do.
func TestOneAddressDown(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	s := &config.Snapshot{}
	s.Clusters = []config.Cluster{{Name: "lisbon", Nodes: []config.Node{{Name: "lisbon-1", Addresses: []netip.Addr{v4, v6}}}}}
	m := New(s)
	r := m.Rank(Client{}, KeyOf("shop.test"), m.Reports(func(e Endpoint) bool { return e.Addr != v4 }))
	seen := 0
	for c := range r.Each {
		seen++
		if c.Up(0) || !c.Up(1) {
			t.Errorf("up: %v %v, want false true", c.Up(0), c.Up(1))
		}
	}
	if seen != 1 || r.AllDown {
		t.Errorf("%d nodes, all down %v; want 1, false", seen, r.AllDown)
	}
}

func TestKilometres(t *testing.T) {
	lisbon, osaka := config.Location{Latitude: 38.7223, Longitude: -9.1393}, config.Location{Latitude: 34.6937, Longitude: 135.5023}
	for _, c := range []struct {
		a, b     config.Location
		min, max float64
	}{
		{lisbon, lisbon, 0, 0.001},
		{lisbon, osaka, 11000, 11250},
		{config.Location{Longitude: 179.9}, config.Location{Longitude: -179.9}, 22, 22.5},
		{config.Location{Latitude: 90}, config.Location{Latitude: -90, Longitude: 77}, 20015, 20016},
	} {
		if km := vectorOf(c.a).kilometres(vectorOf(c.b)); km < c.min || km > c.max {
			t.Errorf("%v to %v: %.3f km, want %v to %v", c.a, c.b, km, c.min, c.max)
		}
	}
}
