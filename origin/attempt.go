package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/trace"
)

// phase is where an attempt is. It says what an error means and which limit its timer has; in phaseDial the dialer and the
// transport have one each.
type phase int

const (
	phaseWait  phase = iota // for a connection, perhaps behind others
	phaseDial               // a connection is being opened for this attempt
	phaseSend               // the request is being written; once there is a body, its upload has the timer
	phaseAwait              // the request is written, but for what is left in buffers
	phaseRead               // there is a response header
	phaseDone
)

// attempt is one request sent to one server. Changing its phases, look also at: the transport's own repetition on a new
// connection (GetConn comes again), a response before the request is written (hooks must not touch the reader's timer), a dial
// that outlives its attempt, waiters (counted in phaseWait and only there), and the exactly one of succeeded, failed and
// abandoned that the server's health is owed.
type attempt struct {
	pool   *pool
	server *server
	index  int // of the server
	trial  bool
	trace  *trace.Trace
	began  time.Time
	ctx    context.Context // of the caller
	asked  context.Context // of what the transport does for it; cancel ends it
	cancel context.CancelCauseFunc
	out    *http.Request // as the server gets it
	body   *uploadView   // nil if the request has none

	mu       sync.Mutex // protects what follows: the transport's goroutines report through hooks
	phase    phase
	sent     bool // some of the request may have reached the server
	timer    *time.Timer
	due      time.Time // when the phase's time is over; zero if it has no limit
	waitedAt time.Time
}

// The causes with which an attempt's clock ends it.
var (
	errConnectionLimit = errors.New("all connections to the origin are in use")
	errWriteTimeout    = errors.New("the origin took nothing of the request in time")
	errHeaderTimeout   = errors.New("the origin sent no response header in time")
	errReadTimeout     = errors.New("the origin sent nothing of the response body in time")
)

// attemptError is why an attempt has no response.
type attemptError struct {
	fault *fault.Error
	sent  bool
}

type attemptKey struct{}

func attemptFrom(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// ask sends req to s and returns the response, whose body reports to the attempt until it is closed.
func (p *pool) ask(req *http.Request, s *server, choice pick, up *upload) (*http.Response, *attemptError) {
	if s.tunnel != nil {
		return p.askTunnel(req, s, choice, up)
	}
	if up == nil {
		room := p.requests.Get().(*[]byte)
		defer p.requests.Put(room)
		request, plain := plainRequest((*room)[:0], req, s, p.settings.fetch.Host)
		if cap(request) <= requestSizeKept {
			*room = request
		}
		if plain {
			return p.call(req, s, choice, request)
		}
	}
	a := &attempt{
		pool: p, server: s, index: choice.index, trial: choice.trial,
		trace: trace.From(req.Context()), began: time.Now(), ctx: req.Context(),
	}
	s.inFlight.Add(1)
	if s.waiters.Add(1) > s.waitersMax && s.waitersMax > 0 {
		return nil, a.fail(limitReached(errConnectionLimit))
	}
	// First of all the one that is cancelled: behind others, a context that isn't of package context would need a goroutine.
	a.asked, a.cancel = context.WithCancelCause(req.Context())
	a.asked = context.WithValue(a.asked, attemptKey{}, a)
	a.timer = time.AfterFunc(time.Hour, a.expire)
	a.timer.Stop()
	a.out = rewrite(httptrace.WithClientTrace(a.asked, a.hooks()), req, s, p.settings.fetch.Host)
	if up != nil {
		a.body = up.viewFor(p.settings.fetch.BodyTimeout, a.stalled)
		a.out.Body = a.body
	}
	transport := s.transport
	if upgradeWanted(req) != "" {
		transport = s.upgrader
	}
	resp, err := transport.RoundTrip(a.out)
	if err != nil {
		return nil, a.fail(a.classify(err))
	}
	resp.Request = req
	if err := vet(req, resp); err != nil {
		_ = resp.Body.Close()
		return nil, a.fail(err)
	}
	a.responded(resp)
	return resp, nil
}

func (a *attempt) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn:      func(string) { a.waiting() },
		GotConn:      a.gotConn,
		WroteHeaders: a.wroteHeaders,
		WroteRequest: func(httptrace.WroteRequestInfo) { a.wroteRequest() },
	}
}

// waiting is told each time that the transport looks for a connection: first of all, and again if the one it had was stale.
func (a *attempt) waiting() {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch a.phase {
	case phaseWait:
	case phaseSend, phaseAwait:
		a.server.waiters.Add(1)
	default:
		return
	}
	a.sent = false
	a.waitedAt = time.Now()
	a.enter(phaseWait, a.pool.settings.fetch.ConnectTimeout)
}

// dialing is told when a connection is being opened for the attempt, from when on the dialer watches the clock.
func (a *attempt) dialing() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase == phaseWait {
		a.server.waiters.Add(-1)
		a.enter(phaseDial, 0)
	}
}

// gotConn is told when the transport has a connection: the one that it opened, or one that became free meanwhile.
func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch a.phase {
	case phaseWait:
		a.server.waiters.Add(-1)
	case phaseDial:
	default:
		return
	}
	a.sent = true
	a.enter(phaseSend, a.pool.settings.fetch.BodyTimeout)
	if a.trace.On() {
		a.told(info, a.waitedAt)
		a.trace.Addf("origin", "send", "%s %s, Host %s", a.out.Method, a.out.URL.RequestURI(), a.out.Host)
	}
}

// told adds to the trace which connection the attempt has, having waited since a time.
func (a *attempt) told(info httptrace.GotConnInfo, since time.Time) {
	peer, took := info.Conn.RemoteAddr(), time.Since(since).Round(time.Microsecond)
	switch {
	case info.WasIdle:
		a.trace.Addf("origin", "connect", "reused to %v, idle for %v", peer, info.IdleTime.Round(time.Microsecond))
	case info.Reused:
		a.trace.Addf("origin", "connect", "reused to %v, after %v", peer, took)
	default:
		a.trace.Addf("origin", "connect", "new to %v, after %v", peer, took)
	}
}

// wroteHeaders leaves the clock to the upload, if there is one.
func (a *attempt) wroteHeaders() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.body != nil && a.phase == phaseSend {
		a.enter(phaseSend, 0)
	}
}

// wroteRequest begins the wait for the response's header. The transport's own limit for that would begin only when its buffer
// has been flushed, and nothing would limit the flush.
func (a *attempt) wroteRequest() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.body != nil {
		a.body.timer.Stop()
	}
	if a.phase == phaseSend {
		a.enter(phaseAwait, a.pool.settings.fetch.HeaderTimeout)
	}
}

// enter changes the phase and sets its clock; 0 means that it has none. The caller holds mu.
func (a *attempt) enter(p phase, limit time.Duration) {
	a.phase = p
	a.arm(limit)
}

// arm sets the clock of the phase anew; 0 stops it. The caller holds mu.
func (a *attempt) arm(limit time.Duration) {
	if limit <= 0 {
		a.due = time.Time{}
		a.timer.Stop()
		return
	}
	a.due = time.Now().Add(limit)
	a.timer.Reset(limit)
}

// clock is arm for who reads a response's body.
func (a *attempt) clock(limit time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase == phaseRead {
		a.arm(limit)
	}
}

// expire ends an attempt whose clock ran out. It may have waited for mu until after the clock was set anew or stopped.
func (a *attempt) expire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.due.IsZero() || time.Now().Before(a.due) {
		return
	}
	switch a.phase {
	case phaseWait:
		a.cancel(errConnectionLimit)
	case phaseSend:
		a.cancel(errWriteTimeout)
	case phaseAwait:
		a.cancel(errHeaderTimeout)
	case phaseRead:
		a.cancel(errReadTimeout)
	}
}

// stalled ends an attempt whose origin takes no more of the request's body. Once there is a response that no longer matters:
// an origin may answer what it has not read to the end, and if it says nothing more, that is noticed in reading.
func (a *attempt) stalled() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.phase == phaseSend {
		a.cancel(errWriteTimeout)
	}
}

// responded takes note of a response and puts the attempt's body in the place of its own.
func (a *attempt) responded(resp *http.Response) {
	a.came(resp)
	a.mu.Lock()
	a.enter(phaseRead, 0)
	a.mu.Unlock()
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		resp.Body = &tunnel{attempt: a, conn: resp.Body.(io.ReadWriteCloser)}
	case resp.Body == http.NoBody:
		a.finish()
	default:
		resp.Body = &download{attempt: a, body: resp.Body}
	}
}

// came tells trace, metrics and health of a response.
func (a *attempt) came(resp *http.Response) {
	took := time.Since(a.began)
	if a.trace.On() {
		a.trace.Addf("origin", "response", "%d %s after %v", resp.StatusCode, resp.Proto, took.Round(time.Microsecond))
	}
	a.pool.metrics.responded(resp, took.Seconds())
	a.pool.answered(a.index)
}

// fail takes note of an attempt without a response.
func (a *attempt) fail(e *fault.Error) *attemptError {
	a.mu.Lock()
	sent := a.sent
	a.mu.Unlock()
	a.finish()
	a.pool.metrics.failed(e)
	if a.trace.On() {
		a.trace.Addf("origin", "response", "none after %v: %v", time.Since(a.began).Round(time.Microsecond), e)
	}
	a.pool.learn(a.index, func(h *health, now time.Time) {
		if countsAgainst(e) {
			h.failed(now, a.trial, e.Op+": "+fmt.Sprint(e.Err))
		} else {
			h.abandoned(a.trial)
		}
	})
	return &attemptError{fault: e, sent: sent}
}

// finish ends the attempt. The server's connection is idle or closed by now. It may be called twice.
func (a *attempt) finish() {
	a.mu.Lock()
	was := a.phase
	a.phase = phaseDone
	if a.timer != nil {
		a.timer.Stop()
	}
	a.mu.Unlock()
	if was == phaseDone {
		return
	}
	if was == phaseWait {
		a.server.waiters.Add(-1)
	}
	if a.body != nil {
		a.body.timer.Stop()
	}
	if a.cancel != nil {
		a.cancel(nil)
		if a.server.conns.wanted() {
			a.server.closeIdleTransports() // its connection would be of no use to who waits for a wire
		}
	}
	a.server.inFlight.Add(-1)
	if a.pool.retired.Load() {
		a.server.closeIdle()
	}
}
