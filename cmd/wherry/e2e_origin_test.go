//go:build linux

package main

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// scripted is a customer's server that does what a script says and counts what it is asked.
type scripted struct {
	address string
	server  *http.Server // nil while it is stopped
	served  chan struct{}

	mu      sync.Mutex // protects what follows
	answers map[string]*scriptedAnswer
	asked   map[string]int
	last    map[string]string // the last request for each path as it came
	held    map[string]int    // requests that wait
}

// scriptedAnswer is immutable.
type scriptedAnswer struct {
	status  int
	body    string
	header  http.Header
	upgrade bool
	gate    chan struct{} // requests wait until it is closed; nil: they don't
	until   string        // a request for this path closes gate
}

// cmdOrigin steers an origin. After start, $NAME is its URL; it keeps its port over a stop.
func cmdOrigin(ts *testscript.TestScript, neg bool, args []string) {
	const text = "origin NAME start|stop|answer|upgrade|hold|release|held|asked|last [PATH [ARG...]]"
	usage(ts, neg, len(args) >= 2, text)
	w, name, verb, args := worldOf(ts), args[0], args[1], args[2:]
	o := w.origins[name]
	if o == nil {
		port, err := w.ports.free()
		ts.Check(err)
		o = &scripted{
			address: "127.0.0.1:" + port, answers: map[string]*scriptedAnswer{},
			asked: map[string]int{}, last: map[string]string{}, held: map[string]int{},
		}
		w.origins[name] = o
		setenv(ts, name, "http://"+o.address)
	}
	switch {
	case verb == "start" && len(args) == 0:
		ts.Check(o.start())
	case verb == "stop" && len(args) == 0:
		o.stop()
	case verb == "answer" && len(args) >= 3:
		body := args[2] // or @FILE
		if file, ok := strings.CutPrefix(body, "@"); ok {
			body = ts.ReadFile(file)
		}
		ts.Check(o.answer(args[0], args[1], body, args[3:]))
	case verb == "upgrade" && len(args) == 1:
		o.set(args[0], &scriptedAnswer{upgrade: true})
	case verb == "hold" && (len(args) == 1 || len(args) == 2):
		o.hold(args[0], strings.Join(args[1:], ""))
	case verb == "release" && len(args) == 1:
		o.mu.Lock()
		defer o.mu.Unlock()
		o.release(args[0])
	case verb == "held" && len(args) == 2:
		ts.Check(o.expect("held", args[1], 10*time.Second, func() int { return o.held[args[0]] }))
	case verb == "asked" && (len(args) == 2 || len(args) == 3):
		within, err := time.ParseDuration(strings.Join(append(args[2:], "0s")[:1], ""))
		ts.Check(err)
		ts.Check(o.expect("asked for "+args[0], args[1], within, func() int { return o.asked[args[0]] }))
	case verb == "last" && len(args) == 1:
		o.mu.Lock()
		defer o.mu.Unlock()
		fmt.Fprint(ts.Stdout(), o.last[args[0]])
	default:
		usage(ts, neg, false, text)
	}
}

func (o *scripted) start() error {
	l, err := net.Listen("tcp", o.address)
	// A process that is being forked for another script has a copy of the socket that was closed, until its exec.
	for began := time.Now(); errors.Is(err, syscall.EADDRINUSE) && time.Since(began) < time.Second; {
		runtime.Gosched()
		l, err = net.Listen("tcp", o.address)
	}
	if err != nil {
		return err
	}
	o.server, o.served = &http.Server{Handler: o}, make(chan struct{})
	go func() {
		defer close(o.served)
		_ = o.server.Serve(l) // ends with ErrServerClosed
	}()
	return nil
}

func (o *scripted) stop() {
	if o.server != nil {
		_ = o.server.Close()
		<-o.served
		o.server = nil
	}
}

func (o *scripted) set(path string, a *scriptedAnswer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answers[path] = a
}

func (o *scripted) answer(path, status, body string, fields []string) error {
	code, err := strconv.Atoi(status)
	if err != nil {
		return err
	}
	a := &scriptedAnswer{status: code, body: body, header: http.Header{}}
	for _, field := range fields {
		name, value, ok := strings.Cut(field, ": ")
		if !ok {
			return fmt.Errorf("%q is no field", field)
		}
		a.header.Add(name, value)
	}
	o.set(path, a)
	return nil
}

// hold makes the requests for path wait until its release, or until the path until is asked for.
func (o *scripted) hold(path, until string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a := *o.answers[path]
	a.gate, a.until = make(chan struct{}), until
	o.answers[path] = &a
}

// release ends what hold has begun; o.mu is held.
func (o *scripted) release(path string) {
	a := *o.answers[path]
	close(a.gate)
	a.gate, a.until = nil, ""
	o.answers[path] = &a
}

// expect waits until count is what it should be.
func (o *scripted) expect(what, should string, within time.Duration, count func() int) error {
	want, err := strconv.Atoi(should)
	if err != nil {
		return err
	}
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for began := time.Now(); ; <-pause.C {
		o.mu.Lock()
		is := count()
		o.mu.Unlock()
		if is == want {
			return nil
		}
		if time.Since(began) >= within {
			return fmt.Errorf("%s: %d, not %d", what, is, want)
		}
	}
}

func (o *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	dump, err := httputil.DumpRequest(r, true)
	if err != nil {
		panic(http.ErrAbortHandler) // the edge has broken off
	}
	o.mu.Lock()
	o.asked[r.URL.Path]++
	o.last[r.URL.Path] = strings.ReplaceAll(string(dump), "\r", "")
	a := o.answers[r.URL.Path]
	for path, held := range o.answers {
		if held.until == r.URL.Path {
			o.release(path)
		}
	}
	o.mu.Unlock()
	switch {
	case a == nil:
		http.NotFound(w, r)
	case a.upgrade:
		echoUpgraded(w, r)
	case o.wait(r, a):
		for name, values := range a.header {
			w.Header()[name] = values
		}
		if etag := a.header.Get("ETag"); etag != "" && r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body) // HEAD has none
	}
}

// wait waits as long as requests for the path are held, and says whether the edge still wants the answer.
func (o *scripted) wait(r *http.Request, a *scriptedAnswer) bool {
	if a.gate == nil {
		return true
	}
	count := func(change int) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.held[r.URL.Path] += change
	}
	count(1)
	defer count(-1)
	select {
	case <-a.gate:
		return true
	case <-r.Context().Done():
		return false
	}
}

// echoUpgraded switches to the protocol that is asked for and returns what comes: WebSocket's short messages (RFC 6455 §5.2),
// or the bytes of any other.
func echoUpgraded(w http.ResponseWriter, r *http.Request) {
	protocol := r.Header.Get("Upgrade")
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil || protocol == "" {
		return
	}
	defer conn.Close()
	fmt.Fprintf(buffered, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n", protocol)
	if protocol != "websocket" {
		fmt.Fprint(buffered, "\r\n")
		if buffered.Flush() == nil {
			_, _ = io.Copy(conn, buffered) // until either side has enough
		}
		return
	}
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455 §1.3
	fmt.Fprintf(buffered, "Sec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
	for buffered.Flush() == nil {
		head := make([]byte, 2+4) // FIN and opcode, mask bit and length, masking key
		if _, err := io.ReadFull(buffered, head); err != nil {
			return
		}
		message := make([]byte, head[1]&0x7f)
		if _, err := io.ReadFull(buffered, message); err != nil {
			return
		}
		for i := range message {
			message[i] ^= head[2+i%4]
		}
		_, _ = buffered.Write(append([]byte{head[0], byte(len(message))}, message...)) // the error comes with Flush
	}
}

// cmdUpgrade asks for a protocol called echo, says TEXT in it and prints the response's head and what comes back.
func cmdUpgrade(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, len(args) == 2, "upgrade URL TEXT")
	target, err := url.Parse(args[0])
	ts.Check(err)
	conn, err := net.DialTimeout("tcp", target.Host, startBound)
	ts.Check(err)
	defer conn.Close()
	ts.Check(conn.SetDeadline(time.Now().Add(startBound)))
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", target.Path, target.Host)
	ts.Check(err)
	r := bufio.NewReader(conn)
	response, err := http.ReadResponse(r, nil)
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), response.Proto, response.Status)
	ts.Check(response.Header.Write(ts.Stdout()))
	if response.StatusCode != http.StatusSwitchingProtocols {
		return
	}
	_, err = io.WriteString(conn, args[1])
	ts.Check(err)
	echo := make([]byte, len(args[1]))
	_, err = io.ReadFull(r, echo)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "\n%s\n", echo)
	// The origin hears that this side has finished, and finishes too.
	ts.Check(conn.(*net.TCPConn).CloseWrite())
	if n, err := r.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		ts.Fatalf("the tunnel goes on with %d bytes, %v", n, err)
	}
}
