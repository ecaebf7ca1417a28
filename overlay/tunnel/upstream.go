package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/overlay/exchange"
)

// OfferField names the site in requests to an agent. It ends there.
const OfferField = "Wherry-Offer"

// refusalField is how an agent says that it couldn't reach its service, and why; nothing was acted on then. It ends at the node.
const refusalField = "Wherry-Refusal"

// upstream asks the service of a site.
type upstream struct {
	table *Table
	offer offered
}

var _ http.RoundTripper = (*upstream)(nil)

// RoundTrip implements http.RoundTripper. Another agent is asked where nothing was acted on and the content can be sent again.
func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	content := &watchedContent{body: r.Body, closed: true} // nobody has it
	defer content.settle()
	var tried []*member
	err := u.offer.nobody()
	for len(tried) < u.table.o.Attempts {
		m := u.table.begin(u.offer, tried)
		if m == nil {
			break
		}
		tried = append(tried, m)
		out, failed := u.attempt(r, content)
		if failed != nil {
			u.table.end(m, "")
			return nil, err
		}
		var resp *http.Response
		var why string
		if resp, why, err = u.ask(m, out); err == nil {
			return resp, nil
		}
		u.table.end(m, why)
		if !fault.Of(err).Retry || r.Context().Err() != nil {
			break
		}
	}
	return nil, err
}

// nobody is the error where no agent is left.
func (o offered) nobody() error {
	return &fault.Error{
		Party: fault.Origin, Op: "tunnel", Status: http.StatusServiceUnavailable, Retry: true, Proxy: "destination_unavailable",
		Err: fmt.Errorf("%s: %w; start one: %s", o.site, errNoAgent, o.command()),
	}
}

// command offers it.
func (o offered) command() string {
	if o.protocol == TCP {
		return "wherry tunnel --name " + o.site + " --tcp HOST:PORT"
	}
	return "wherry tunnel --site " + o.site + " --to HOST:PORT"
}

// begin picks an agent.
func (t *Table) begin(o offered, tried []*member) *member {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.members.pick(o, tried, time.Now())
	if m != nil {
		m.begin()
		m.agent.running++
	}
	return m
}

// end gives an agent back.
func (t *Table) end(m *member, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m.end(why, time.Now())
	m.agent.end(1)
}

// attempt returns the request for one agent. It fails if the content can't be sent again.
func (u *upstream) attempt(r *http.Request, content *watchedContent) (*http.Request, error) {
	out := r.Clone(r.Context())
	out.Header[OfferField] = []string{u.offer.site}
	if r.Body == nil || r.Body == http.NoBody {
		return out, nil
	}
	body, ok := content.give()
	if !ok && r.GetBody == nil {
		return nil, errSpent
	}
	if !ok {
		var err error
		if body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
	out.Body = body
	return out, nil
}

var errSpent = errors.New("some of the content was read")

// ask asks one agent. why is what it refused with.
func (u *upstream) ask(m *member, out *http.Request) (resp *http.Response, why string, err error) {
	if resp, err = m.agent.transport.RoundTrip(out); err != nil {
		if f := fault.Of(err); f.Retry {
			why = f.Error()
		}
		return nil, why, err
	}
	if why = resp.Header.Get(refusalField); why != "" {
		_ = resp.Body.Close()
		return nil, why, &fault.Error{
			Party: fault.Origin, Op: "tunnel", Status: http.StatusBadGateway, Retry: true, Proxy: "destination_unavailable",
			Err: fmt.Errorf("agent %s: %s", m.agent.name, why),
		}
	}
	done := sync.OnceFunc(func() { u.table.end(m, "") })
	switch body := resp.Body.(type) {
	case *exchange.Conn:
		resp.Body = &countedConn{Conn: body, done: done}
	default:
		if body == http.NoBody {
			done()
		} else {
			resp.Body = &countedBody{ReadCloser: body, done: done}
		}
	}
	return resp, "", nil
}

// watchedContent is a request's content that may go to one agent after the other, up to the first that reads some of it.
type watchedContent struct {
	body io.ReadCloser

	mu      sync.Mutex // protects what follows
	lease   int        // of who has it; who had it before gets nothing
	taken   bool       // some of it was read
	closed  bool       // by who has it
	settled bool       // nobody else gets it
	ended   bool
}

// lease is the content as one agent gets it.
type lease struct {
	*watchedContent
	number int
}

// Read implements io.Reader.
func (l *lease) Read(p []byte) (int, error) {
	l.mu.Lock()
	if l.number != l.lease {
		l.mu.Unlock()
		return 0, errSpent
	}
	l.taken = true
	l.mu.Unlock()
	return l.body.Read(p)
}

// Close implements io.Closer.
func (l *lease) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.number == l.lease {
		l.closed = true
		l.end()
	}
	return nil
}

// give gives the content to the next one. It returns false if it has been read.
func (c *watchedContent) give() (body io.ReadCloser, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken {
		return nil, false
	}
	c.lease++
	c.closed = false
	return &lease{c, c.lease}, true
}

// settle says that nobody else gets it.
func (c *watchedContent) settle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settled = true
	c.end()
}

// end closes the content if that is due. The caller holds mu.
func (c *watchedContent) end() {
	if c.body != nil && c.closed && (c.taken || c.settled) && !c.ended {
		c.ended = true
		_ = c.body.Close()
	}
}

// countedBody counts a request to an agent as under way until it is closed or read.
type countedBody struct {
	io.ReadCloser
	done func()
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.done()
	}
	return n, err
}

func (b *countedBody) Close() error {
	b.done()
	return b.ReadCloser.Close()
}

// countedConn counts a connection as under way until it is closed.
type countedConn struct {
	*exchange.Conn
	done func()
}

var _ duplex = (*countedConn)(nil)

func (c *countedConn) Close() error {
	c.done()
	return c.Conn.Close()
}

// Reset breaks off both directions.
func (c *countedConn) Reset(code exchange.Code) {
	c.done()
	c.Conn.Reset(code)
}

// DialContext connects to the service of a site that speaks something else than HTTP. The connection has a method CloseWrite.
func (t *Table) DialContext(ctx context.Context, site string) (net.Conn, error) {
	offer := offered{TCP, site}
	var tried []*member
	err := offer.nobody()
	for len(tried) < t.o.Attempts {
		m := t.begin(offer, tried)
		if m == nil {
			break
		}
		tried = append(tried, m)
		var conn *exchange.Conn
		if conn, err = connect(ctx, m.agent.transport, site, ""); err == nil {
			return &countedConn{Conn: conn, done: sync.OnceFunc(func() { t.end(m, "") })}, nil
		}
		t.end(m, err.Error())
		if !fault.Of(err).Retry || ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

// connect asks for a connection to a target, and shows a token if there is one. Its error is a *fault.Error with the words of whoever refused.
func connect(ctx context.Context, over http.RoundTripper, target, token string) (*exchange.Conn, error) {
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Host: target}, Host: target, Header: http.Header{}}
	if token != "" {
		r.Header.Set("Authorization", bearer+token)
	}
	resp, err := over.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	if conn, ok := resp.Body.(*exchange.Conn); ok {
		return conn, nil
	}
	defer resp.Body.Close()
	words := resp.Header.Get(refusalField)
	if words == "" {
		words = resp.Status
	}
	return nil, &fault.Error{
		Party: fault.Origin, Op: "connect", Status: resp.StatusCode, Retry: resp.StatusCode >= 500, Proxy: "destination_unavailable",
		Err: errors.New(words),
	}
}
