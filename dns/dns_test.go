package dns

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/wherry/wherry/config"
)

// start runs a server on sockets of the loopback and returns its address. Its checks are always answered.
func start(t *testing.T, snapshot *config.Snapshot) (*Server, string) {
	t.Helper()
	return startAt(t, snapshot, "127.0.0.1:0", "127.0.0.1")
}

func startAt(t *testing.T, snapshot *config.Snapshot, listen, host string) (*Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", listen)
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	bind, _, _ := net.SplitHostPort(listen)
	pc, err := net.ListenPacket("udp", net.JoinHostPort(bind, strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{
		Snapshot: snapshot, PacketConn: pc, Listener: l, Node: "dns-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	s.ask = newEdges().ask
	run(t, s)
	return s, net.JoinHostPort(host, strconv.Itoa(port))
}

// run runs s until the test ends.
func run(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func exchangeOver(t *testing.T, network, addr string, q *miekg.Msg) *miekg.Msg {
	t.Helper()
	c := miekg.Client{Net: network, Timeout: 5 * time.Second, UDPSize: 4096}
	m, _, err := c.Exchange(q, addr)
	if err != nil {
		t.Fatalf("%s over %s: %v", q.Question[0].Name, network, err)
	}
	return m
}

func TestSockets(t *testing.T) {
	_, addr := start(t, loadSnapshot(t, "testdata/network.yaml", ""))
	for _, network := range []string{"udp", "tcp"} {
		m := exchangeOver(t, network, addr, new(miekg.Msg).SetQuestion("shop.test.", miekg.TypeA))
		if len(m.Answer) != 2 || m.Answer[0].(*miekg.A).A.String() != "192.0.2.3" {
			t.Errorf("over %s: %v", network, m)
		}
	}
}

// manyAddresses has a node whose addresses don't fit into a packet.
func manyAddresses(t *testing.T, count int) *config.Snapshot {
	s := loadSnapshot(t, "testdata/network.yaml", "")
	node := &s.Clusters[0].Nodes[0]
	for i := range count {
		node.Addresses = append(node.Addresses, netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 14: byte(i >> 8), 15: byte(i)}))
	}
	return s
}

func TestTruncation(t *testing.T) {
	s := newQuiet(t, manyAddresses(t, 100))
	const name = "lisbon-1.nodes.wherry.test. AAAA"
	for _, c := range []struct {
		command   string
		truncated bool
		limit     int
	}{
		{name, true, 512},
		{name + " size 100", true, 512},
		{name + " size 1232", true, 1232},
		{name + " size 4096", true, 1232},
		{name + " tcp", false, 65535},
		{"shop.test. A size 512", false, 512},
		{"shop.test. NS", false, 512},
	} {
		m, size := askScript(t, s, c.command), len(askRaw(t, s, c.command))
		if m.Truncated != c.truncated || size > c.limit {
			t.Errorf("%s: truncated %v with %d bytes, want %v within %d", c.command, m.Truncated, size, c.truncated, c.limit)
		}
		if c.truncated && (len(m.Answer) > 0 || m.Rcode != miekg.RcodeSuccess) {
			t.Errorf("%s: %d records in a truncated answer", c.command, len(m.Answer))
		}
	}
	if m := askScript(t, s, name+" tcp"); len(m.Answer) != 101 {
		t.Errorf("%d records over TCP, want 101", len(m.Answer))
	}
}

// An answer that just fits isn't truncated, and one byte more is. 12 header + 32 question + 28 for each record.
func TestTruncationBoundary(t *testing.T) {
	for _, c := range []struct {
		addresses int
		size      string
		truncated bool
	}{
		{15, "", false},           // 12+32+16*28 = 492
		{16, "", true},            // 520 > 512
		{41, " size 1232", false}, // 44+42*28+11 = 1231
		{42, " size 1232", true},
	} {
		m := askScript(t, newQuiet(t, manyAddresses(t, c.addresses)), "lisbon-1.nodes.wherry.test. AAAA"+c.size)
		if m.Truncated != c.truncated {
			t.Errorf("%d addresses%s: truncated %v, want %v", c.addresses+1, c.size, m.Truncated, c.truncated)
		}
	}
}

// Glue that doesn't fit is left out without a TC bit.
func TestGlueLeftOut(t *testing.T) {
	s := loadSnapshot(t, "testdata/network.yaml", "")
	for i := range 40 {
		s.DNS.Nameservers[0].Addresses = append(s.DNS.Nameservers[0].Addresses, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	quiet := newQuiet(t, s)
	m, size := askScript(t, quiet, "wherry.test. NS"), len(askRaw(t, quiet, "wherry.test. NS"))
	if m.Truncated || len(m.Answer) != 3 || len(m.Extra) == 0 || len(m.Extra) > 40 || size > 512 {
		t.Errorf("truncated %v, %d servers, %d addresses, %d bytes", m.Truncated, len(m.Answer), len(m.Extra), size)
	}
}

// A truncated answer sends a client to TCP, where it gets all.
func TestRetryOverTCP(t *testing.T) {
	_, addr := start(t, manyAddresses(t, 100))
	q := new(miekg.Msg).SetQuestion("lisbon-1.nodes.wherry.test.", miekg.TypeAAAA)
	if m := exchangeOver(t, "udp", addr, q); !m.Truncated {
		t.Error("over UDP: not truncated")
	}
	if m := exchangeOver(t, "tcp", addr, q); m.Truncated || len(m.Answer) != 101 {
		t.Errorf("over TCP: truncated %v with %d records", m.Truncated, len(m.Answer))
	}
}

// Queries sent in one go, even split at odd places, are answered in order on one connection (RFC 7766 §6.2.1.1).
func TestPipelining(t *testing.T) {
	_, addr := start(t, loadSnapshot(t, "testdata/network.yaml", ""))
	conn := dial(t, addr)
	const count = 50
	var all []byte
	for i := range count {
		q := new(miekg.Msg).SetQuestion("shop.test.", miekg.TypeA)
		q.Id = uint16(i)
		all = append(all, frame(t, q)...)
	}
	go func() {
		for len(all) > 0 {
			n := min(7, len(all))
			if _, err := conn.Write(all[:n]); err != nil {
				return // the reader tells what is missing
			}
			all = all[n:]
		}
	}()
	for i := range count {
		m := readFrame(t, conn)
		if m.Id != uint16(i) || len(m.Answer) != 2 {
			t.Fatalf("answer %d has id %d and %d records", i, m.Id, len(m.Answer))
		}
	}
}

// What is no query ends a connection; the server goes on.
func TestTCPGarbage(t *testing.T) {
	_, addr := start(t, loadSnapshot(t, "testdata/network.yaml", ""))
	for name, garbage := range map[string][]byte{
		"too short":  {0, 3, 1, 2, 3},
		"empty":      {0, 0},
		"a response": append([]byte{0, 12, 0x12, 0x34, 0x80}, make([]byte, 9)...),
	} {
		conn := dial(t, addr)
		if _, err := conn.Write(garbage); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: the server answers", name)
		}
	}
	exchangeOver(t, "tcp", addr, new(miekg.Msg).SetQuestion("shop.test.", miekg.TypeA))
}

// The 513th connection is closed at once and those before stay usable.
func TestTCPConnectionsBounded(t *testing.T) {
	_, addr := start(t, loadSnapshot(t, "testdata/network.yaml", ""))
	conns := make([]net.Conn, tcpConnectionsMax)
	for i := range conns {
		conns[i] = dial(t, addr)
	}
	// An answer on the last one proves that all have been accepted.
	ask := func(conn net.Conn) {
		if _, err := conn.Write(frame(t, new(miekg.Msg).SetQuestion("shop.test.", miekg.TypeA))); err != nil {
			t.Fatal(err)
		}
		readFrame(t, conn)
	}
	ask(conns[len(conns)-1])
	if _, err := dial(t, addr).Read(make([]byte, 1)); err == nil {
		t.Error("one connection too many is served")
	}
	ask(conns[0])
}

// A connection that brings no whole query for ten seconds is closed, however busily it sends bytes; one that asks stays.
func TestTCPIdle(t *testing.T) {
	query := frame(t, new(miekg.Msg).SetQuestion("shop.test.", miekg.TypeA))
	for name, c := range map[string]struct {
		send  func(net.Conn)
		stays bool
	}{
		"silent": {func(net.Conn) {}, false},
		"byte by byte": {func(conn net.Conn) {
			for i := range query[:len(query)-1] {
				time.Sleep(time.Second)
				if _, err := conn.Write(query[i : i+1]); err != nil {
					return // closed, as it should be
				}
			}
		}, false},
		"asks now and then": {func(conn net.Conn) {
			for range 5 {
				time.Sleep(9 * time.Second)
				if _, err := conn.Write(query); err != nil {
					return // the reader tells
				}
			}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newQuiet(t, loadSnapshot(t, "testdata/network.yaml", ""))
				client, server := net.Pipe()
				var wg sync.WaitGroup
				wg.Go(func() { s.serveConn(t.Context(), server) })
				wg.Go(func() { c.send(client) })
				began, answered := time.Now(), 0
				for {
					var head [2]byte
					if _, err := io.ReadFull(client, head[:]); err != nil {
						break
					}
					if _, err := io.CopyN(io.Discard, client, int64(binary.BigEndian.Uint16(head[:]))); err != nil {
						break
					}
					answered++
				}
				want, answers := tcpIdle, 0
				if c.stays {
					want, answers = 5*9*time.Second+tcpIdle, 5
				}
				if took := time.Since(began); took != want || answered != answers {
					t.Errorf("closed after %v and %d answers, want %v and %d", took, answered, want, answers)
				}
				_ = client.Close()
				wg.Wait()
			})
		})
	}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func frame(t *testing.T, q *miekg.Msg) []byte {
	t.Helper()
	raw, err := q.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(raw))), raw...)
}

func readFrame(t *testing.T, conn net.Conn) *miekg.Msg {
	t.Helper()
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		t.Fatal(err)
	}
	raw := make([]byte, binary.BigEndian.Uint16(head[:]))
	if _, err := io.ReadFull(conn, raw); err != nil {
		t.Fatal(err)
	}
	m := new(miekg.Msg)
	if err := m.Unpack(raw); err != nil {
		t.Fatal(err)
	}
	return m
}

// A server that listens at all addresses answers from the one that was asked, or resolvers drop the answer.
func TestAnswersFromTheAddressAsked(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", "[::]:0"} {
		_, addr := startAt(t, loadSnapshot(t, "testdata/network.yaml", ""), listen, "127.0.0.1")
		_, port, _ := net.SplitHostPort(addr)
		for _, host := range []string{"127.0.0.1", "127.0.0.7"} {
			// The client's socket is connected: the kernel gives it only what comes from that address.
			m := exchangeOver(t, "udp", net.JoinHostPort(host, port), new(miekg.Msg).SetQuestion("lisbon-1.nodes.wherry.test.", miekg.TypeA))
			if len(m.Answer) != 1 {
				t.Errorf("%s at %s: %v", listen, host, m)
			}
		}
	}
}

// Nothing changes before commit: somebody else may refuse the snapshot.
func TestPrepareChangesNothing(t *testing.T) {
	s := newQuiet(t, loadSnapshot(t, "testdata/network.yaml", ""))
	commit, err := s.Prepare(loadSnapshot(t, "testdata/network.yaml", restSite))
	if err != nil {
		t.Fatal(err)
	}
	if m := askScript(t, s, "late.test. A"); m.Rcode != miekg.RcodeRefused {
		t.Errorf("before commit: %v", m)
	}
	commit()
	if m := askScript(t, s, "late.test. A"); len(m.Answer) != 2 {
		t.Errorf("after commit: %v", m)
	}
}

// reload makes s answer from snapshot.
func reload(t testing.TB, s *Server, snapshot *config.Snapshot) {
	t.Helper()
	commit, err := s.Prepare(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	commit()
}

// Snapshots swap under load: every answer is of one or the other.
func TestReloadWhileServing(t *testing.T) {
	before := loadSnapshot(t, "testdata/network.yaml", "")
	after := loadSnapshot(t, "testdata/network.yaml", strings.NewReplacer("all", "late", "*", "late.test").Replace(restSite))
	s, addr := start(t, before)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				m := new(miekg.Msg).SetQuestion("late.test.", miekg.TypeA)
				r, err := miekg.Exchange(m, addr)
				if err != nil {
					t.Error(err)
					return
				}
				if r.Rcode != miekg.RcodeRefused && (r.Rcode != miekg.RcodeSuccess || len(r.Answer) != 2) {
					t.Errorf("neither the one nor the other: %v", r)
				}
			}
		})
	}
	for range 50 {
		for _, snapshot := range []*config.Snapshot{after, before} {
			reload(t, s, snapshot)
		}
	}
	wg.Wait()
}

func TestBadSnapshotKeepsTheOld(t *testing.T) {
	s := newQuiet(t, loadSnapshot(t, "testdata/network.yaml", ""))
	bad := loadSnapshot(t, "testdata/network.yaml", "")
	bad.Zone = config.Host(strings.Repeat("x", 64) + ".test")
	if commit, err := s.Prepare(bad); err == nil || commit != nil {
		t.Errorf("a zone that is no DNS name is taken: %v", err)
	}
	if m := askScript(t, s, "wherry.test. SOA"); len(m.Answer) != 1 {
		t.Errorf("after a bad snapshot: %v", m)
	}
	if _, err := New(Options{Snapshot: bad}); err == nil {
		t.Error("New takes it")
	}
}

// A socket that breaks ends Run with an error that says so.
func TestRunFailsWithItsSocket(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Snapshot: loadSnapshot(t, "testdata/network.yaml", ""), PacketConn: pc})
	if err != nil {
		t.Fatal(err)
	}
	s.ask = newEdges().ask
	_ = pc.Close()
	if err := s.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "serve dns over udp") {
		t.Errorf("run: %v", err)
	}
}

// TestDig asks with a foreign client.
func TestDig(t *testing.T) {
	dig, err := exec.LookPath("dig")
	if err != nil {
		t.Skipf("dig isn't installed: %v", err)
	}
	_, addr := start(t, loadSnapshot(t, "testdata/network.yaml", restSite))
	_, port, _ := net.SplitHostPort(addr)
	for _, c := range []struct {
		args string
		want []string
		not  string
	}{
		{"+short anything.test", []string{"192.0.2."}, ""},
		{"blog.wherry.test", []string{"NOERROR", "flags: qr aa rd;", "CNAME\tblog.sites.wherry.test.", "version: 0, flags:; udp: 1232"}, "warn"},
		{"+noedns shop.test", []string{"status: NOERROR"}, "PSEUDOSECTION"},
		{"+tcp shop.test AAAA", []string{"2001:db8::", "(TCP)"}, "warn"},
		{"+subnet=10.1.2.0/24 shop.test", []string{"198.51.100.1", "CLIENT-SUBNET: 10.1.2.0/24/16"}, "warn"},
		{"+subnet=0 shop.test", []string{"CLIENT-SUBNET: 0.0.0.0/0/0", "status: NOERROR"}, "warn"},
		{"nope.wherry.test", []string{"status: NXDOMAIN", "AUTHORITY: 1"}, "warn"},
		{"nodes.wherry.test", []string{"status: NOERROR", "ANSWER: 0", "AUTHORITY: 1"}, "warn"},
		{"+edns=3 +noednsneg shop.test", []string{"status: BADVERS"}, ""},
		{"+opcode=notify shop.test", []string{"status: NOTIMP"}, ""},
		{"+header-only", []string{"status: FORMERR"}, ""},
		{"CH TXT version.bind", []string{"status: REFUSED"}, ""},
		{"AXFR wherry.test", []string{"Transfer failed"}, ""},
		{"ANY shop.test", []string{`HINFO	"RFC8482" ""`}, "warn"},
		{"+dnssec +cookie +nsid +expire +padding=64 shop.test", []string{"status: NOERROR", "flags: do"}, "warn"},
		{"+short TXT whoami.wherry.test", []string{`"resolver 127.0.0.1"`, "prefix 127.0.0.1/32 of lisbon"}, ""},
		{"NS wherry.test", []string{"ns1.wherry.test.", "192.0.2.53"}, "warn"},
	} {
		args := append([]string{"@127.0.0.1", "-p", port, "+tries=1", "+time=5"}, strings.Fields(c.args)...)
		out, err := exec.Command(dig, args...).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "failed") {
			t.Errorf("dig %s: %v\n%s", c.args, err, out)
		}
		for _, want := range c.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("dig %s: no %q in\n%s", c.args, want, out)
			}
		}
		if c.not != "" && strings.Contains(strings.ToLower(string(out)), strings.ToLower(c.not)) {
			// "recursion requested but not available" is what a client without +norecurse gets of every authoritative server.
			rest := strings.ReplaceAll(string(out), ";; WARNING: recursion requested but not available\n", "")
			if strings.Contains(strings.ToLower(rest), strings.ToLower(c.not)) {
				t.Errorf("dig %s: %q in\n%s", c.args, c.not, out)
			}
		}
	}
}
