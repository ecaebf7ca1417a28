package tunnel_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/overlay"
	"github.com/wherry/wherry/overlay/exchange"
	"github.com/wherry/wherry/overlay/tunnel"
)

// session is a connection of the overlay as a tunnel.Session.
type session struct{ *overlay.Conn }

func (s session) OpenStream(ctx context.Context) (exchange.Stream, error) {
	stream, err := s.Conn.OpenStream(ctx)
	if err != nil {
		return nil, err
	}
	return stream, nil
}

func (s session) AcceptStream(ctx context.Context) (exchange.Stream, error) {
	stream, err := s.Conn.AcceptStream(ctx)
	if err != nil {
		return nil, err
	}
	return stream, nil
}

func (s session) Close() error {
	s.Conn.Close(overlay.CodeDone, "done")
	return nil
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// endpoint starts an endpoint of the overlay on loopback; all use one certificate, which they trust.
func endpoint(t testing.TB, config *tls.Config, name string) *overlay.Endpoint {
	t.Helper()
	server := config.Clone()
	server.ClientAuth = tls.RequireAndVerifyClientCert
	e := must(overlay.New(must(net.ListenPacket("udp", "127.0.0.1:0")), overlay.Options{
		Server: server, Client: func(string) *tls.Config { return config },
		Admit: func(tls.ConnectionState) (string, error) { return name, nil },
	}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return e
}

func testTLS() *tls.Config {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "node"}, DNSNames: []string{"node"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	pool := x509.NewCertPool()
	pool.AddCert(must(x509.ParseCertificate(der)))
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: pool, ClientCAs: pool, ServerName: "node",
	}
}

// overOverlay connects two endpoints and has the second's connections served.
func overOverlay(t testing.TB, serve func(ctx context.Context, s session)) (dial func(ctx context.Context) (session, error)) {
	t.Helper()
	config := testTLS()
	began := time.Now()
	here, there := endpoint(t, config, "there"), endpoint(t, config, "here")
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := there.Accept(ctx)
			if err != nil {
				return
			}
			serving.Go(func() { serve(ctx, session{conn}) })
		}
	})
	t.Cleanup(func() {
		cancel()
		serving.Wait()
	})
	return func(ctx context.Context) (session, error) {
		for {
			conn, err := here.Dial(ctx, there.Addr(), "node")
			if err == nil || ctx.Err() != nil || time.Since(began) > 10*time.Second {
				return session{conn}, err
			}
			time.Sleep(time.Millisecond) // the endpoints may not run yet
		}
	}
}

func TestOverTheOverlay(t *testing.T) {
	table := tunnel.NewTable(tunnel.TableOptions{Node: "lisbon", Check: func(context.Context, string, string, tunnel.Protocol) error { return nil }, DrainTimeout: time.Second})
	dial := overOverlay(t, func(ctx context.Context, s session) { _ = table.Serve(ctx, s) })
	left := make(chan struct{})
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			<-r.Context().Done()
			close(left)
			return
		}
		n, _ := io.Copy(w, r.Body)
		fmt.Fprint(w, " ", n)
	}))
	defer service.Close()
	db := must(net.Listen("tcp", "127.0.0.1:0"))
	defer db.Close()
	go func() {
		for {
			conn, err := db.Accept()
			if err != nil {
				return
			}
			go upcase(conn.(half))
		}
	}()
	agent := must(tunnel.NewAgent(tunnel.AgentOptions{
		Name: "laptop", Token: token, Log: slog.New(slog.DiscardHandler), Nodes: func() []string { return []string{"lisbon"} },
		Dial: func(ctx context.Context, _ string) (tunnel.Session, error) { return dial(ctx) },
		Services: []tunnel.Service{
			{Site: "shop", Protocol: tunnel.HTTP, To: service.Listener.Addr().String()}, {Site: "db", Protocol: tunnel.TCP, To: db.Addr().String()},
		},
	}))
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- agent.Run(ctx) }()
	for range 1000 {
		if len(table.Offers()) == 2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	shop := table.Upstream("shop")
	content := strings.Repeat("content ", 1<<17)
	var asking sync.WaitGroup
	for range 20 {
		asking.Go(func() {
			resp, err := shop.RoundTrip(must(http.NewRequest(http.MethodPost, "http://shop.example/", strings.NewReader(content))))
			if err != nil {
				t.Error(err)
				return
			}
			body, err := io.ReadAll(resp.Body)
			if want := fmt.Sprint(content, " ", len(content)); string(body) != want || err != nil {
				t.Errorf("%d bytes, want %d: %v", len(body), len(want), err)
			}
		})
	}
	asking.Wait()
	conn := must(table.DialContext(t.Context(), "db"))
	fmt.Fprint(conn, content)
	_ = conn.(half).CloseWrite()
	if answer, err := io.ReadAll(conn); string(answer) != strings.ToUpper(content) || err != nil {
		t.Errorf("%d bytes, %v", len(answer), err)
	}
	_ = conn.Close()

	wait, leave := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, leave)
	if _, err := shop.RoundTrip(must(http.NewRequestWithContext(wait, http.MethodGet, "http://shop.example/wait", nil))); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	select {
	case <-left:
	case <-time.After(10 * time.Second):
		t.Error("the service isn't told that its client has left")
	}
	stop()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

func TestForwardOverTheOverlay(t *testing.T) {
	db := must(net.Listen("tcp", "127.0.0.1:0"))
	defer db.Close()
	target := db.Addr().String()
	var accepted sync.WaitGroup
	accepted.Go(func() {
		for {
			conn, err := db.Accept()
			if err != nil {
				return
			}
			accepted.Go(func() {
				all, err := io.ReadAll(conn)
				if strings.HasSuffix(string(all), "break") {
					_ = conn.(*net.TCPConn).SetLinger(0)
				} else if err == nil {
					_, _ = conn.Write(all)
				}
				_ = conn.Close()
			})
		}
	})
	gate := &tunnel.Gate{Allow: func(_ context.Context, by tunnel.Caller, asked string) error {
		if by.Peer != "here" || asked != target {
			return errors.New("add it to overlay.forward of the far node")
		}
		return nil
	}}
	dial := overOverlay(t, func(ctx context.Context, s session) {
		_ = (&exchange.Server{Handler: gate, Limits: exchange.Limits{DrainTimeout: time.Millisecond}}).Serve(ctx, s)
	})
	far := must(dial(t.Context()))
	over := &exchange.Transport{Session: func(context.Context) (exchange.Session, error) { return far, nil }}
	forward := &tunnel.Forward{Target: target, Over: over}
	if err := forward.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := (&tunnel.Forward{Target: "169.254.169.254:80", Over: over}).Check(t.Context())
	if f := fault.Of(err); err == nil || f.Status != http.StatusForbidden || f.Retry || !strings.Contains(err.Error(), "connecting to 169.254.169.254:80 isn't allowed: add it to") {
		t.Errorf("a target that isn't allowed gives %v", err)
	}
	near := must(net.Listen("tcp", "127.0.0.1:0"))
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- forward.Serve(ctx, near) }()
	for _, c := range []struct {
		said  string
		whole bool
	}{{strings.Repeat("x", 3<<20), true}, {"", true}, {"break", false}} {
		conn := must(net.Dial("tcp", near.Addr().String())).(*net.TCPConn)
		go func() {
			_, _ = io.WriteString(conn, c.said)
			_ = conn.CloseWrite()
		}()
		answer, err := io.ReadAll(conn)
		if (err == nil) != c.whole || c.whole && string(answer) != c.said {
			t.Errorf("%d bytes of %d, %v", len(answer), len(c.said), err)
		}
		_ = conn.Close()
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	_ = db.Close()
	accepted.Wait()
}
