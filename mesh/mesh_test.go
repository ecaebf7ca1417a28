package mesh

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
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
func serve(t *testing.T, m *Mesh, o ListenOptions) (address string) {
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

func TestWhoIsRefused(t *testing.T) {
	a := authority(t)
	good := join(t, a, "lisbon-1", time.Now(), feed.RoleControl)
	old := join(t, a, "oslo-1", time.Now().Add(-nodeLife-time.Hour))
	foreign := join(t, authority(t), "osaka-1", time.Now())
	for _, c := range []struct {
		name           string
		client, server *Mesh
		o              ListenOptions
		says           string // by the client or by the server
	}{
		{"a foreign client", foreign, good, ListenOptions{}, "another network"},
		{"a foreign server", good, foreign, ListenOptions{}, "another network"},
		{"an expired client", old, good, ListenOptions{}, ""},
		{"an expired server", good, old, ListenOptions{}, "look at both clocks"},
		{"of a role that isn't let in", good, good, ListenOptions{Allow: func(w Who) error { return fmt.Errorf("no %v here", w.Roles) }}, ""},
	} {
		if got, err := ask(t, c.client.Transport(), t.Context(), serve(t, c.server, c.o)); err == nil || !strings.Contains(err.Error(), c.says) && c.name != "a foreign client" {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
	if got, err := ask(t, old.Transport(), t.Context(), serve(t, good, ListenOptions{Anonymous: true})); !strings.HasPrefix(got, "oslo-1 [] false true") {
		t.Errorf("an expired client that wants to renew: %q, %v", got, err)
	}
	if got, err := ask(t, foreign.Transport(), t.Context(), serve(t, good, ListenOptions{Anonymous: true})); err == nil {
		t.Errorf("a foreign client where anonymous ones are let in: %q", got)
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

func TestACutLinkStandsStill(t *testing.T) {
	a := authority(t)
	server := join(t, a, "lisbon-1", time.Now())
	address := serve(t, server, ListenOptions{})
	cut, other := join(t, a, "osaka-1", time.Now()).Transport(), join(t, a, "oslo-1", time.Now()).Transport()
	if _, err := ask(t, cut, t.Context(), address); err != nil {
		t.Fatal(err)
	}
	server.Cut(false, "osaka-1")
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if got, err := ask(t, cut, short, address); err == nil {
		t.Errorf("passes: %q", got)
	}
	if _, err := ask(t, other, t.Context(), address); err != nil {
		t.Errorf("another node: %v", err)
	}
	server.Cut(false)
	if _, err := ask(t, cut, t.Context(), address); err != nil {
		t.Errorf("after it was healed: %v", err)
	}
}

func TestIdentityLastsAndRenews(t *testing.T) {
	a, dir := authority(t), t.TempDir()
	id, err := OpenIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	install(t, a, id, "lisbon-1", time.Now().Add(-30*time.Hour), feed.RoleEdge)
	if id, err = OpenIdentity(dir); err != nil {
		t.Fatal(err)
	}
	before, _ := id.Who()
	ctx, stop := context.WithCancel(t.Context())
	err = id.Run(ctx, slog.New(slog.DiscardHandler), func(_ context.Context, csr []byte) ([]byte, []byte, error) {
		cert, err := a.Issue(csr, before, time.Now())
		stop()
		return cert, a.PEM(), err
	})
	after, ok := id.Who()
	if err != nil || !ok || after.Node != "lisbon-1" || !after.Expires.After(before.Expires) {
		t.Errorf("before %v, after %v, %v", before, after, err)
	}
	if err := os.Chmod(filepath.Join(dir, keyName), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenIdentity(dir); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that everybody can read: %v", err)
	}
}

func TestJoinTokens(t *testing.T) {
	a := authority(t)
	server := join(t, a, "lisbon-1", time.Now(), feed.RoleControl)
	address := serve(t, server, ListenOptions{Anonymous: true})
	token := NewJoinToken([]string{address}, a.Pin())
	text := token.Text()
	parsed, err := ParseJoinToken(text[:40] + "\n  " + text[40:])
	if err != nil || parsed.Secret != token.Secret {
		t.Fatalf("%v, %v", parsed, err)
	}
	if got, err := ask(t, JoinTransport(parsed), t.Context(), address); !strings.HasPrefix(got, " [] false") {
		t.Errorf("%q, %v", got, err)
	}
	parsed.Pin[0] ^= 1
	if _, err := ask(t, JoinTransport(parsed), t.Context(), address); err == nil || !strings.Contains(err.Error(), "isn't control of the network") {
		t.Errorf("control of another network: %v", err)
	}
	for _, wrong := range []string{"", "x", text[:len(text)-3], text[1:], "wjt1.", strings.Replace(text, "a", "b", 1) + "A", "wjt2." + text[5:]} {
		if _, err := ParseJoinToken(wrong); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
	if strings.Contains(fmt.Sprint(slog.AnyValue(token).Resolve()), token.Secret) {
		t.Error("the log shows the secret")
	}
}

func FuzzParseJoinToken(f *testing.F) {
	f.Add(NewJoinToken([]string{"192.0.2.1:8440"}, [32]byte{}).Text())
	f.Fuzz(func(t *testing.T, text string) {
		if token, err := ParseJoinToken(text); err == nil {
			if again, err := ParseJoinToken(token.Text()); err != nil || again.Secret != token.Secret {
				t.Errorf("%q: %v, %v", text, again, err)
			}
		}
	})
}
