package quicdoor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is one that shares a socket with others. It answers each line with its name.
type program struct {
	t         *testing.T
	name      string
	door      *Door
	transport *quic.Transport
	listener  *quic.Listener
	done      chan struct{}
}

func (p *program) serve(key *quic.StatelessResetKey) {
	p.t.Helper()
	s := httptest.NewTLSServer(nil)
	certificates := s.TLS.Certificates
	s.Close()
	p.transport = &quic.Transport{Conn: p.door, ConnectionIDGenerator: p.door, StatelessResetKey: key}
	var err error
	if p.listener, err = p.transport.Listen(&tls.Config{Certificates: certificates, NextProtos: []string{"test"}}, nil); err != nil {
		p.t.Fatal(err)
	}
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		for {
			c, err := p.listener.Accept(context.Background())
			if err != nil {
				return
			}
			go func() {
				for {
					s, err := c.AcceptStream(context.Background())
					if err != nil {
						return
					}
					line, _ := io.ReadAll(s)
					fmt.Fprintf(s, "%s: %s", p.name, line)
					_ = s.Close()
				}
			}()
		}
	}()
}

func (p *program) end() {
	_ = p.listener.Close()
	_ = p.transport.Close()
	<-p.done
	_ = p.door.Close()
}

func newProgram(t *testing.T, name string) *program {
	t.Helper()
	u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	return &program{t: t, name: name, door: New(u)}
}

// next makes the program that takes over, as one of another process would get it.
func (p *program) next(name string) *program {
	p.t.Helper()
	pass, err := p.door.Successor()
	if err != nil {
		p.t.Fatal(err)
	}
	f, err := p.door.UDPConn.File()
	if err != nil {
		p.t.Fatal(err)
	}
	defer f.Close()
	c, err := net.FilePacketConn(f)
	if err != nil {
		p.t.Fatal(err)
	}
	door, err := Inherit(c.(*net.UDPConn), pass)
	if err != nil {
		p.t.Fatal(err)
	}
	return &program{t: p.t, name: name, door: door}
}

func dial(t *testing.T, at net.Addr) *quic.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := quic.DialAddr(ctx, at.String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"test"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseWithError(0, "") })
	return c
}

func ask(c *quic.Conn, line string) (string, error) {
	s, err := c.OpenStream()
	if err != nil {
		return "", err
	}
	_ = s.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(s, line); err != nil {
		return "", err
	}
	_ = s.Close()
	answer, err := io.ReadAll(s)
	return string(answer), err
}

func wants(t *testing.T, c *quic.Conn, line, want string) {
	t.Helper()
	if got, err := ask(c, line); err != nil || got != want {
		t.Errorf("%s: got %q, %v; want %q", line, got, err, want)
	}
}

// TestTakeOver: connections stay with the program that has them, new ones wait for the next, and those of a program that is gone are told.
func TestTakeOver(t *testing.T) {
	key := &quic.StatelessResetKey{1}
	one := newProgram(t, "one")
	at := one.door.LocalAddr()
	one.serve(key)
	a := dial(t, at)
	wants(t, a, "before", "one: before")

	two := one.next("two")
	wants(t, a, "with a successor", "one: with a successor")
	one.door.Leave()
	wants(t, a, "leaving", "one: leaving")
	waiting := make(chan *quic.Conn, 1)
	go func() { waiting <- dial(t, at) }()
	wants(t, a, "while somebody waits", "one: while somebody waits")
	two.serve(key)
	one.door.Away()
	b := <-waiting
	wants(t, b, "waited", "two: waited")
	for i := range 20 {
		line := fmt.Sprint("away ", i)
		wants(t, a, line, "one: "+line)
		wants(t, b, line, "two: "+line)
		c := dial(t, at)
		wants(t, c, line, "two: "+line)
		_ = c.CloseWithError(0, "")
	}

	// A third one takes over while the first still has a connection.
	three := two.next("three")
	two.door.Leave()
	three.serve(key)
	two.door.Away()
	c := dial(t, at)
	wants(t, a, "twice removed", "one: twice removed")
	wants(t, b, "once removed", "two: once removed")
	wants(t, c, "new", "three: new")

	one.end()
	two.end()
	for name, conn := range map[string]*quic.Conn{"one": a, "two": b} {
		// Long enough for an answer (RFC 9000 §10.3).
		if got, err := ask(conn, strings.Repeat("gone ", 20)); err == nil {
			t.Errorf("%s answers %q after its end", name, got)
		}
		<-conn.Context().Done()
		if e := new(quic.StatelessResetError); !errors.As(context.Cause(conn.Context()), &e) {
			t.Errorf("the connection of %s ended with %v", name, context.Cause(conn.Context()))
		}
	}
	wants(t, c, "alone", "three: alone")
	three.end()
}

// TestStay: a program that doesn't get a successor after all goes on as before.
func TestStay(t *testing.T) {
	one := newProgram(t, "one")
	one.serve(nil)
	two := one.next("two")
	one.door.Stay()
	_ = two.door.Close()
	wants(t, dial(t, one.door.LocalAddr()), "still", "one: still")
	one.end()
}

// TestLeaveAlone: without a next program, what begins a connection is dropped.
func TestLeaveAlone(t *testing.T) {
	one := newProgram(t, "one")
	one.serve(nil)
	a := dial(t, one.door.LocalAddr())
	one.door.Leave()
	wants(t, a, "still", "one: still")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := quic.DialAddr(ctx, one.door.LocalAddr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"test"}}, nil); err == nil {
		t.Error("a new connection was taken")
	}
	one.door.Away() // nobody is there to read instead
	wants(t, a, "still", "one: still")
	one.end()
}
