package dns

import (
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	miekg "github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/mapper"
)

var rewrite = flag.Bool("rewrite", false, "write what the commands of testdata/*.txt print back into them")

// restSite is one more site for testdata/network.yaml: the one of all other names.
const restSite = `  - {name: all, hosts: ["*"], origins: [{url: "http://127.0.0.1:9000"}]}` + "\n"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestScripts asks what testdata/*.txt ask and compares the answers. `go test ./dns -run TestScripts -rewrite` fills them in.
func TestScripts(t *testing.T) {
	for name, snapshot := range map[string]*config.Snapshot{
		"answers": loadSnapshot(t, "testdata/network.yaml", ""),
		"rest":    loadSnapshot(t, "testdata/network.yaml", restSite),
	} {
		t.Run(name, func(t *testing.T) { runScript(t, "testdata/"+name+".txt", newQuiet(t, snapshot)) })
	}
}

// TestAliasesLeadToTheNodesOfTheirHost: what shares a copy is held by the same nodes, whichever name is asked for.
func TestAliasesLeadToTheNodesOfTheirHost(t *testing.T) {
	const site = `  - {name: many, hosts: [a.test, "*.a.test", b.test, c.test, d.test, e.test], origins: [{url: "http://127.0.0.1:9000"}]`
	answers := func(aliases string) map[string]bool {
		s := newQuiet(t, loadSnapshot(t, "testdata/network.yaml", site+aliases+"}\n"))
		different := map[string]bool{}
		for _, host := range []string{"a.test", "x.a.test", "y.a.test", "b.test", "c.test", "d.test", "e.test"} {
			different[strings.ReplaceAll(scriptCommand(t, s, host+". A from 127.0.0.1"), host, "HOST")] = true
		}
		return different
	}
	if all := answers(""); len(all) < 2 {
		t.Fatalf("all hosts lead to the same nodes by chance: %v", all)
	}
	if all := answers(`, aliases: [{host: a.test, names: ["*.a.test", b.test, "*"]}]`); len(all) != 1 {
		t.Errorf("names of one host lead to different nodes: %v", all)
	}
}

func runScript(t *testing.T, file string, s *Server) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for block := range strings.SplitSeq(strings.TrimRight(string(raw), "\n"), "\n\n") {
		head, want, ok := strings.Cut(block+"\n", "----\n")
		if !ok {
			fmt.Fprintf(&out, "%s\n\n", block)
			continue
		}
		lines := strings.Split(strings.TrimRight(head, "\n"), "\n")
		command := lines[len(lines)-1]
		got := scriptCommand(t, s, command)
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

// scriptCommand runs `NAME TYPE [from ADDR] [subnet PREFIX] [class CLASS] [size BYTES] [tcp]` or `down NODE…`.
func scriptCommand(t *testing.T, s *Server, command string) string {
	t.Helper()
	args := strings.Fields(command)
	if args[0] == "down" {
		setDown(s, args[1:]...)
		return ""
	}
	return printMessage(askScript(t, s, command))
}

// askScript asks what a command says.
func askScript(t *testing.T, s *Server, command string) *miekg.Msg {
	t.Helper()
	answer := new(miekg.Msg)
	if err := answer.Unpack(askRaw(t, s, command)); err != nil {
		t.Fatalf("%s: the answer doesn't parse: %v", command, err)
	}
	return answer
}

// askRaw returns the answer as a packet.
func askRaw(t *testing.T, s *Server, command string) []byte {
	t.Helper()
	args := strings.Fields(command)
	q := new(miekg.Msg).SetQuestion(args[0], miekg.StringToType[args[1]])
	from, tcp := netip.MustParseAddr("127.0.0.1"), false
	for i := 2; i < len(args); i++ {
		switch args[i] {
		case "from":
			i++
			from = netip.MustParseAddr(args[i])
		case "subnet":
			i++
			withSubnet(q, netip.MustParsePrefix(args[i]))
		case "class":
			i++
			q.Question[0].Qclass = miekg.StringToClass[args[i]]
		case "size":
			i++
			var size uint16
			if _, err := fmt.Sscan(args[i], &size); err != nil {
				t.Fatalf("%s: %v", command, err)
			}
			q.SetEdns0(size, false)
		case "tcp":
			tcp = true
		default:
			t.Fatalf("%s: what is %q?", command, args[i])
		}
	}
	packet, err := q.Pack()
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	x := exchange{server: s}
	return x.respond(packet, from, tcp)
}

func withSubnet(q *miekg.Msg, p netip.Prefix) {
	family := uint16(2)
	if p.Addr().Is4() {
		family = 1
	}
	q.SetEdns0(1232, false)
	opt := q.IsEdns0()
	opt.Option = append(opt.Option, &miekg.EDNS0_SUBNET{
		Code: miekg.EDNS0SUBNET, Family: family, SourceNetmask: uint8(p.Bits()), Address: net.IP(p.Addr().AsSlice()),
	})
}

func printMessage(m *miekg.Msg) string {
	var b strings.Builder
	b.WriteString(miekg.RcodeToString[m.Rcode])
	for flag, on := range map[string]bool{" aa": m.Authoritative, " TC": m.Truncated, " ra": m.RecursionAvailable} {
		if on {
			b.WriteString(flag)
		}
	}
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if s, ok := o.(*miekg.EDNS0_SUBNET); ok {
				fmt.Fprintf(&b, " subnet %s/%d scope %d", s.Address, s.SourceNetmask, s.SourceScope)
			}
		}
	}
	b.WriteByte('\n')
	for _, section := range []struct {
		name    string
		records []miekg.RR
	}{{"", m.Answer}, {"authority ", m.Ns}, {"additional ", m.Extra}} {
		for _, rr := range section.records {
			if rr.Header().Rrtype != miekg.TypeOPT {
				fmt.Fprintf(&b, "%s%s\n", section.name, strings.ReplaceAll(rr.String(), "\t", " "))
			}
		}
	}
	return b.String()
}

func loadSnapshot(t testing.TB, file, more string) *config.Snapshot {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return parseSnapshot(t, string(raw)+more)
}

func parseSnapshot(t testing.TB, text string) *config.Snapshot {
	t.Helper()
	s, problems := config.Parse("wherry.yaml", []byte(text))
	if s == nil {
		t.Fatalf("config: %v", problems)
	}
	s.Revision = "0000002a0000"
	return s
}

// newQuiet returns a server that isn't running, so that it checks nobody's health.
func newQuiet(t testing.TB, snapshot *config.Snapshot) *Server {
	t.Helper()
	s, err := New(Options{Snapshot: snapshot, Node: "dns-1"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// setDown makes exactly these nodes, or single addresses as NODE@ADDR, count as down.
func setDown(s *Server, nodes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e, h := range s.checks {
		h.up = true
		for _, n := range nodes {
			if n == string(e.Node) || n == fmt.Sprintf("%s@%s", e.Node, e.Addr) {
				h.up = false
			}
		}
	}
	v := *s.view.Load()
	v.reports = v.m.Reports(func(e mapper.Endpoint) bool { return s.checks[e].up })
	s.view.Store(&v)
}
