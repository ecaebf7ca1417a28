package mesh

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

func authority(t testing.TB) *Authority {
	t.Helper()
	a, err := NewAuthority(t.TempDir(), "cdn.test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// join returns the mesh of a node whose certificate was issued at that time.
func join(t testing.TB, a *Authority, name config.NodeID, at time.Time, roles ...feed.Role) *Mesh {
	t.Helper()
	id, err := OpenIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	install(t, a, id, name, at, roles...)
	return New(id, Options{Log: slog.New(slog.DiscardHandler)})
}

func install(t testing.TB, a *Authority, id *Identity, name config.NodeID, at time.Time, roles ...feed.Role) {
	t.Helper()
	csr, err := id.CSR()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Issue(csr, Who{Node: name, Roles: roles}, at)
	if err != nil {
		t.Fatal(err)
	}
	if err := id.Install(cert, a.PEM()); err != nil {
		t.Fatal(err)
	}
}

// serve answers with the name of who asks.
func serve(t testing.TB, m *Mesh, o ListenOptions) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, ok := PeerOf(r)
		_, expired, _ := RenewingPeerOf(r)
		fmt.Fprintf(w, "%s %v %v %v %s", who.Node, who.Roles, ok, expired, r.Proto)
	}), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	go server.Serve(m.Listener(l, o))
	t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

func ask(t *testing.T, rt http.RoundTripper, ctx context.Context, address string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}

func TestNodesKnowEachOther(t *testing.T) {
	a := authority(t)
	server := join(t, a, "lisbon-1", time.Now(), feed.RoleControl)
	address := serve(t, server, ListenOptions{})
	client := join(t, a, "osaka-1", time.Now(), feed.RoleEdge, feed.RoleDNS)
	if got, err := ask(t, client.Transport(), Expect(t.Context(), "lisbon-1"), address); got != "osaka-1 [edge dns] true false HTTP/2.0" {
		t.Errorf("%q, %v", got, err)
	}
	_, err := ask(t, client.Transport(), Expect(t.Context(), "oslo-1"), address)
	if err == nil || !strings.Contains(err.Error(), "is lisbon-1, not oslo-1") {
		t.Errorf("error %v", err)
	}
}

func TestClocksMayBeWrongByADay(t *testing.T) {
	a := authority(t)
	for _, wrong := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		server, client := join(t, a, "lisbon-1", time.Now()), join(t, a, "osaka-1", time.Now())
		client.o.Now = func() time.Time { return time.Now().Add(wrong) }
		if _, err := ask(t, client.Transport(), t.Context(), serve(t, server, ListenOptions{})); err != nil {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

func TestARemovedNodeIsCutOffAtOnce(t *testing.T) {
	a := authority(t)
	server := join(t, a, "lisbon-1", time.Now())
	address := serve(t, server, ListenOptions{})
	stolen := join(t, a, "osaka-1", time.Now())
	conn, err := stolen.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := ask(t, stolen.Transport(), t.Context(), address); err != nil {
		t.Fatal(err)
	}
	server.SetRevoked(map[config.NodeID]time.Time{"osaka-1": time.Now()})
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadAll(conn); os.IsTimeout(err) {
		t.Error("its connection is still open")
	}
	if got, err := ask(t, stolen.Transport(), t.Context(), address); err == nil {
		t.Errorf("it is let in again: %q", got)
	}
	again := join(t, a, "osaka-1", time.Now().Add(time.Second))
	if _, err := ask(t, again.Transport(), t.Context(), address); err != nil {
		t.Errorf("a new node of that name: %v", err)
	}
}

func TestAResumedSessionDoesNotLetARemovedNodeIn(t *testing.T) {
	a := authority(t)
	server := join(t, a, "lisbon-1", time.Now())
	address := serve(t, server, ListenOptions{})
	stolen := join(t, a, "osaka-1", time.Now())
	c, err := stolen.id.credentials()
	if err != nil {
		t.Fatal(err)
	}
	tlsConfig := &tls.Config{
		InsecureSkipVerify: true, ClientSessionCache: tls.NewLRUClientSessionCache(8), Certificates: []tls.Certificate{*c.cert},
	}
	get := func() (resumed bool, err error) {
		conn, err := tls.Dial("tcp", address, tlsConfig)
		if err != nil {
			return false, err
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		text, err := io.ReadAll(conn)
		if err == nil && !strings.Contains(string(text), "osaka-1") {
			err = fmt.Errorf("answer %q", text)
		}
		return conn.ConnectionState().DidResume, err
	}
	for range 2 {
		if resumed, err := get(); resumed || err != nil {
			t.Fatalf("resumed %v, %v", resumed, err)
		}
	}
	server.SetRevoked(map[config.NodeID]time.Time{"osaka-1": time.Now()})
	if resumed, err := get(); resumed || err == nil {
		t.Errorf("a removed node: resumed %v, %v", resumed, err)
	}
}

// TestRemovedAndBackWithinASecond: certificates tell the time in whole seconds.
func TestRemovedAndBackWithinASecond(t *testing.T) {
	a := authority(t)
	server := join(t, a, "lisbon-1", time.Now())
	now := time.Now().Truncate(time.Second).Add(300 * time.Millisecond)
	server.SetRevoked(map[config.NodeID]time.Time{"osaka-1": now})
	for _, c := range []struct {
		issued  time.Time
		revoked bool
	}{{now.Add(-time.Nanosecond), true}, {now, true}, {now.Add(time.Nanosecond), false}} {
		who, _ := join(t, a, "osaka-1", c.issued).id.Who()
		if got := server.Revoked(who); got != c.revoked {
			t.Errorf("issued %s: revoked %v", c.issued, got)
		}
	}
}

func TestATransportSpeaksToWhoIsWantedAlone(t *testing.T) {
	a := authority(t)
	at := map[config.NodeID]string{}
	for _, name := range []config.NodeID{"lisbon-1", "oslo-1"} {
		role := map[config.NodeID]feed.Role{"lisbon-1": feed.RoleControl, "oslo-1": feed.RoleEdge}[name]
		at[name] = serve(t, join(t, a, name, time.Now(), role), ListenOptions{})
	}
	client := join(t, a, "osaka-1", time.Now())
	client.o.Resolve = func(id config.NodeID) (string, bool) { address, ok := at[id]; return address, ok }
	whom := func(rt *http.Transport, host string) string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+host+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := rt.RoundTrip(req)
		if err != nil {
			return err.Error()
		}
		defer resp.Body.Close()
		who, _ := AnsweredBy(resp)
		return string(who.Node)
	}
	any, control := client.Transport(), client.Transport(feed.RoleControl)
	if got := whom(any, HostOf("oslo-1")); got != "oslo-1" {
		t.Errorf("by its host name: %s", got)
	}
	if got := whom(control, at["lisbon-1"]); got != "lisbon-1" {
		t.Errorf("control: %s", got)
	}
	if got := whom(control, at["oslo-1"]); !strings.Contains(got, "oslo-1, isn't of the role control") {
		t.Errorf("an edge for control: %s", got)
	}
	if got := whom(any, HostOf("paris-1")); !strings.Contains(got, "no node of that name is known") {
		t.Errorf("nobody: %s", got)
	}
	at["oslo-1"] = at["lisbon-1"]
	any.CloseIdleConnections()
	if got := whom(any, HostOf("oslo-1")); !strings.Contains(got, "is lisbon-1, not oslo-1") {
		t.Errorf("another one at its address: %s", got)
	}
	if resp, err := any.RoundTrip(&http.Request{Method: "GET", URL: &url.URL{Scheme: "http", Host: at["lisbon-1"], Path: "/"}, Header: http.Header{}}); err == nil {
		resp.Body.Close()
		t.Error("asked without TLS")
	}
}

func TestACertificateIsRenewedWithoutARestart(t *testing.T) {
	a := authority(t)
	server, client := join(t, a, "lisbon-1", time.Now()), join(t, a, "osaka-1", time.Now().Add(-30*time.Hour))
	address := serve(t, server, ListenOptions{})
	for _, roles := range [][]feed.Role{{feed.RoleEdge}, {feed.RoleEdge, feed.RoleRelay}} {
		install(t, a, client.id, "osaka-1", time.Now(), roles...)
		if got, err := ask(t, client.Transport(), t.Context(), address); !strings.HasPrefix(got, fmt.Sprintf("osaka-1 %v true", roles)) {
			t.Errorf("%q, %v", got, err)
		}
	}
}
