//go:build linux

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// echoServer answers what it is sent, until the test ends.
func echoServer(t *testing.T, at string) string {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

// listening is where a forward says that it listens.
func listening(out *heard) string {
	_, at, _ := strings.Cut(out.String(), "listen=")
	at, _, _ = strings.Cut(at, " ")
	return at
}

// thereAndBack sends something over a forward until it comes back, for a while.
func thereAndBack(t *testing.T, at string, patience time.Duration) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		err := func() error {
			c, err := net.Dial("tcp", at)
			if err != nil {
				return err
			}
			defer c.Close()
			fmt.Fprint(c, "there and back")
			_ = c.(*net.TCPConn).CloseWrite()
			_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
			text, err := io.ReadAll(c)
			if err == nil && string(text) != "there and back" {
				err = fmt.Errorf("%q came back", text)
			}
			return err
		}()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing comes back: %v", err)
		}
	}
}

// A service over TCP on a machine with no open port is reached by its name from wherever somebody has a token for it, also when an edge dies; when the
// token is removed, connections end within seconds, and no new ones are made.
func TestTCPTunnel(t *testing.T) {
	l := startLab(t, "--control", "1", "--edges", "4", "--dns", "0")
	service := echoServer(t, "127.0.0.1:0")
	admin := l.env
	token := lastLine(l.must("token", "create", "db-box", "--can", "deploy", "--site", "db"))
	reader := lastLine(l.must("token", "create", "db-user", "--can", "deploy", "--site", "db"))
	l.env = append(admin[:len(admin):len(admin)], "WHERRY_TOKEN="+token)
	agent, _ := l.begin(2, "tunnel is up", "tunnel", "--name", "db", "--tcp", service)
	l.env = append(admin[:len(admin):len(admin)], "WHERRY_TOKEN="+reader)
	out, _ := l.begin(1, "msg=forwarding", "overlay", "forward", "0 -> tunnel://db")
	at := listening(out)
	thereAndBack(t, at, 5*time.Second)
	if text, err := l.run("overlay", "forward", "0", "other"); err == nil || !strings.Contains(text, "the token db-user") {
		t.Errorf("another tunnel: %v\n%s", err, text)
	}

	l.env = admin
	if text, err := l.run("overlay", "forward", "0", "nobody"); err == nil || !strings.Contains(text, "wherry tunnel --name nobody --tcp HOST:PORT") {
		t.Errorf("a tunnel that nobody offers: %v\n%s", err, text)
	}
	edges := []string{"edge-1", "edge-2", "edge-3", "edge-4"}
	for _, edge := range edges {
		if strings.Contains(agent.String(), "tunnel is up\" node="+edge) {
			l.must("lab", "kill", edge)
			break
		}
	}
	thereAndBack(t, at, 20*time.Second)

	open, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	one := make([]byte, 1)
	fmt.Fprint(open, "a")
	_ = open.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadFull(open, one); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	l.must("token", "remove", "db-box")
	_ = open.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := open.Read(one); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("a removed token's connection goes on: %v", err)
	}
	t.Logf("the connection ended %v after its token was removed", time.Since(began).Round(time.Millisecond))
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(agent.String(), "the token was removed"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the agent doesn't say why:\n%s", agent)
		}
	}
	if text, err := l.run("overlay", "forward", "0", "db"); err == nil {
		t.Errorf("a tunnel whose token was removed is reached:\n%s", text)
	}
	expiring := lastLine(l.must("token", "create", "db-hour", "--can", "deploy", "--site", "db", "--life", "6s"))
	l.env = append(admin[:len(admin):len(admin)], "WHERRY_TOKEN="+expiring)
	agent, _ = l.begin(1, "tunnel is up", "tunnel", "--name", "db", "--tcp", service)
	for deadline := time.Now().Add(15 * time.Second); !strings.Contains(agent.String(), "db-hour expired"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("an expired token's tunnel goes on:\n%s", agent)
		}
	}
}

// A node connects to its own loopback, and beyond it to what its list names, and says which key the list is.
func TestForwardBeyondTheNode(t *testing.T) {
	l := startLab(t, "--control", "1", "--edges", "1", "--dns", "0")
	_, port, _ := net.SplitHostPort(echoServer(t, "127.0.0.1:0"))
	target := "edge-1/localhost:" + port // a name, whatever it leads to
	if text, err := l.run("overlay", "forward", "0", target); err == nil || !strings.Contains(text, "overlay.forward") {
		t.Errorf("without a list: %v\n%s", err, text)
	}
	l.must("node", "set", "edge-1", "--forward", "localhost:"+port)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		text, _ := l.run("overlay", "forward", port, target)
		if strings.Contains(text, "address already in use") { // it got so far
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("what the list names can't be reached:\n%s", text)
		}
	}
	out, _ := l.begin(1, "msg=forwarding", "overlay", "forward", "0", target)
	thereAndBack(t, listening(out), 5*time.Second)
	if text, err := l.run("node", "set", "edge-1", "--forward", "10.0.0.0/8"); err == nil || !strings.Contains(text, "no port number") {
		t.Errorf("a list without a port: %v\n%s", err, text)
	}
}

// A tunnel is one of a site's origins: the others are asked when nobody offers it any more, and wherry path says which is out.
func TestTunnelAmongOrigins(t *testing.T) {
	server := func(name string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "no-store")
			fmt.Fprint(w, name)
		}))
		t.Cleanup(s.Close)
		return s
	}
	behind, beside := server("behind the tunnel"), server("beside it")
	l := startLab(t, "--control", "1", "--edges", "2", "--dns", "0")
	out, end := l.begin(2, "tunnel is up", "tunnel", "--site", "shop", "--to", strings.TrimPrefix(behind.URL, "http://"))
	l.must("apply", "--emergency", "-f", l.write("shop.yaml",
		"name: shop\nhosts: [shop.test]\nparent: off\norigins: [{url: \"tunnel://shop\", weight: 2}, {url: \""+beside.URL+"\", backup: true}]\n"+
			"fetch: {health: {path: /, interval: 1s, timeout: 900ms}}\n"))
	for _, edge := range []string{"edge-1", "edge-2"} {
		l.answers(5*time.Second, edge, "/", http.StatusOK, "behind the tunnel")
	}
	if text := l.must("path", "shop"); !strings.Contains(text, "tunnel://shop ×2, "+beside.URL+" (backup)") {
		t.Error(text)
	}
	if err := end(); err != nil {
		t.Errorf("the agent ended with %v:\n%s", err, out)
	}
	for _, edge := range []string{"edge-1", "edge-2"} {
		l.answers(5*time.Second, edge, "/", http.StatusOK, "beside it")
	}
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		text := l.must("path", "shop")
		if strings.Count(text, "tunnel://shop ×2 OUT: ") == 2 && strings.Contains(text, "run wherry tunnel --site shop") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("wherry path doesn't say that the tunnel is out:\n%s", text)
		}
		l.answers(5*time.Second, "edge-1", "/", http.StatusOK, "beside it")
	}
	l.begin(2, "tunnel is up", "tunnel", "--site", "shop", "--to", strings.TrimPrefix(behind.URL, "http://"))
	for deadline := time.Now().Add(15 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if _, body := l.get("edge-1", "/"); body == "behind the tunnel" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the tunnel is up again and isn't asked")
		}
	}
}
