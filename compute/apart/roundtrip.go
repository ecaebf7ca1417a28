//go:build linux

package apart

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/compute/apart/link"
	"github.com/wherry/wherry/compute/apart/wire"
	"github.com/wherry/wherry/fault"
)

// smallMax is how long a request's content may be to be read before it is sent, in one frame with the head.
const smallMax = 16 << 10

// RoundTripper asks the program of a name: the one that has the name when a request is asked.
func (h *Host) RoundTripper(name string) http.RoundTripper { return asker{h, name} }

type asker struct {
	host *Host
	name string
}

var _ http.RoundTripper = asker{}

// call is a request under way.
type call struct {
	host       *Host
	name       string
	ctx        context.Context
	session    *session
	stream     *link.Stream
	connection *connection
	lost, left sync.Once
}

// RoundTrip implements http.RoundTripper.
func (a asker) RoundTrip(r *http.Request) (*http.Response, error) {
	c := &call{host: a.host, name: a.name, ctx: context.WithValue(r.Context(), programKey{}, a.name)}
	response, err := c.ask(r)
	if err != nil {
		err = c.failed(err)
		c.over()
		return nil, err
	}
	return response, nil
}

func (c *call) ask(r *http.Request) (_ *http.Response, err error) {
	hasBody := r.Body != nil && r.Body != http.NoBody
	uploads := false
	defer func() {
		if hasBody && !uploads {
			_ = r.Body.Close() // its bytes were read, or aren't wanted
		}
	}()
	spec, ok := (*c.host.known.Load())[c.name]
	if !ok {
		return nil, &fault.Error{Party: fault.Config, Op: "find program", Status: http.StatusServiceUnavailable, Err: fmt.Errorf("no program %q is deployed; deploy it", c.name)}
	}
	q := wire.Request{Program: c.name, Method: r.Method, Target: r.URL.RequestURI(), Host: r.Host, Header: r.Header, Upgrade: upgrades(r.Header)}
	if q.Host == "" {
		q.Host = r.URL.Host
	}
	var content []byte
	switch {
	case !hasBody || q.Upgrade:
	case r.ContentLength > 0 && r.ContentLength <= smallMax:
		q.Length = r.ContentLength
		content = make([]byte, q.Length)
		if _, err := io.ReadFull(r.Body, content); err != nil {
			return nil, errContent(err)
		}
	case r.ContentLength > 0:
		q.Length, uploads = r.ContentLength, true
	default:
		q.Length, uploads = -1, true
	}
	if spec.connected {
		c.connection = c.host.connect(c.ctx)
		q.Connection = c.connection.number()
	}
	if err = c.open(&q, content, !uploads && !q.Upgrade, spec.wall); err != nil {
		uploads = false
		return nil, err
	}
	if uploads {
		go c.upload(r)
	}
	return c.answer(r, q.Upgrade)
}

// open begins the call with a monitor that answers, for which it waits up to a limit. One that has ended before it was asked counts as none.
func (c *call) open(q *wire.Request, content []byte, end bool, limit time.Duration) (err error) {
	head := heads.Get().(*[]byte)
	defer heads.Put(head)
	*head = q.Append(append((*head)[:0], verbRequest))
	var waiting context.Context
	for {
		s := c.host.live.Load()
		if s == nil {
			if waiting == nil {
				var cancel context.CancelFunc
				waiting, cancel = context.WithTimeout(c.ctx, limit)
				defer cancel()
			}
			if s, err = c.host.await(waiting, true); err != nil {
				return err
			}
		}
		if c.stream, err = s.link.Open(c.ctx, *head, content, end); err == nil {
			c.session = s
			return nil
		}
		if s.link.Context().Err() == nil || c.ctx.Err() != nil {
			return err
		}
		c.host.live.CompareAndSwap(s, nil)
	}
}

// heads are buffers for them.
var heads = sync.Pool{New: func() any { return new([]byte) }}

// answer waits for the response's beginning.
func (c *call) answer(r *http.Request, upgrade bool) (*http.Response, error) {
	head, err := c.stream.Answer()
	if err != nil {
		return nil, err
	}
	p, err := wire.ParseResponse(head)
	if err == nil && p.Status == http.StatusSwitchingProtocols && !upgrade {
		err = errors.New("it switches protocols, which nobody has asked for")
	}
	if err != nil {
		c.stream.Cancel(err)
		return nil, err
	}
	response := &http.Response{
		Status: strconv.Itoa(p.Status) + " " + http.StatusText(p.Status), StatusCode: p.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: p.Header, Body: body{c}, ContentLength: p.Length, Request: r,
	}
	if p.Status == http.StatusSwitchingProtocols {
		response.Body = both{body{c}}
	}
	return response, nil
}

// upgrades reports whether a request asks for another protocol (RFC 9110 §7.8).
func upgrades(h http.Header) bool {
	return h["Upgrade"] != nil && httpguts.HeaderValuesContainsToken(h["Connection"], "Upgrade")
}

func errContent(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return &fault.Error{Party: fault.Client, Op: "read request", Status: http.StatusBadRequest, Err: err}
}

// upload sends the request's body, in a goroutine that ends with it, or with its next read once the call is over.
func (c *call) upload(r *http.Request) {
	defer r.Body.Close()
	piece := pieces.Get().(*[wire.PieceMax]byte)
	defer pieces.Put(piece)
	for {
		n, err := r.Body.Read(piece[:])
		if n > 0 {
			if _, err := c.stream.Write(piece[:n]); err != nil {
				return
			}
		}
		switch {
		case err == io.EOF:
			_ = c.stream.CloseWrite() // the response says what became of it
			return
		case err != nil:
			c.stream.Fail(errContent(err))
			return
		}
	}
}

// failed is err as whoever asked is to have it.
func (c *call) failed(err error) error {
	if c.session != nil && c.session.link.Context().Err() != nil && c.host.ctx.Err() == nil {
		c.lost.Do(func() { c.host.lose(c.name) })
	}
	if ctxErr := c.ctx.Err(); ctxErr != nil && errors.Is(err, context.Cause(c.ctx)) {
		if errors.Is(ctxErr, context.DeadlineExceeded) {
			return &fault.Error{Party: fault.Edge, Op: "run program", Status: http.StatusGatewayTimeout, Err: ctxErr}
		}
		return &fault.Error{Party: fault.Client, Op: "run program", Status: fault.StatusClientClosedRequest, Err: ctxErr}
	}
	var f *fault.Error
	if errors.As(err, &f) {
		return err
	}
	f = &fault.Error{Party: fault.Edge, Op: "run program", Status: http.StatusBadGateway, Retry: true, Err: err}
	if errors.Is(err, link.ErrFull) || errors.Is(err, context.DeadlineExceeded) {
		f.Status = http.StatusServiceUnavailable
	}
	return f
}

// over is called when nothing more comes of a call.
func (c *call) over() {
	if c.connection != nil {
		c.left.Do(func() { c.host.release(c.connection) })
	}
}

// body is a response's.
type body struct{ *call }

func (b body) Read(p []byte) (int, error) {
	n, err := b.stream.Read(p)
	if err != nil && err != io.EOF && err != http.ErrBodyReadAfterClose {
		err = b.failed(err)
	}
	return n, err
}

func (b body) Close() error {
	b.stream.Cancel(http.ErrBodyReadAfterClose)
	b.over()
	return nil
}

// both is a body that is written to, too, after a switch of protocols.
type both struct{ body }

var _ io.ReadWriteCloser = both{}

func (b both) Write(p []byte) (int, error) {
	n, err := b.stream.Write(p)
	if err != nil {
		err = b.failed(err)
	}
	return n, err
}

// connection is a client's that programs keep memory for.
type connection struct {
	of     *compute.Connection
	id     uint64
	calls  int  // host.mu: under way
	closed bool // host.mu
}

func (c *connection) number() uint64 {
	if c == nil {
		return 0
	}
	return c.id
}

// connect is the connection of a context, for a call; nil: there is none.
func (h *Host) connect(ctx context.Context) *connection {
	of := compute.ConnectionOf(ctx)
	if of == nil {
		return nil
	}
	h.mu.Lock()
	c := h.connections[of]
	begins := c == nil
	if begins {
		h.connected++
		c = &connection{of: of, id: h.connected}
		h.connections[of] = c
	}
	c.calls++
	h.mu.Unlock()
	if begins {
		of.AfterClose(func() {
			h.mu.Lock()
			c.closed = true
			h.mu.Unlock()
			h.forget(c)
		})
	}
	return c
}

func (h *Host) release(c *connection) {
	h.mu.Lock()
	c.calls--
	h.mu.Unlock()
	h.forget(c)
}

// forget tells the monitor that a connection is closed, after its last call.
func (h *Host) forget(c *connection) {
	h.mu.Lock()
	over := c.closed && c.calls == 0
	if over {
		delete(h.connections, c.of)
	}
	h.mu.Unlock()
	if s := h.live.Load(); over && s != nil {
		_ = s.link.Tell(topicClosed, binary.LittleEndian.AppendUint64(nil, c.id)) // one that ends forgets it anyway
	}
}
