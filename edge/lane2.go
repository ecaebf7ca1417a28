package edge

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/wherry/wherry/h2"
)

// secondServer serves the connections that turn out to be for HTTP/2. Plain hits are answered by the server itself, in the
// connection's goroutine, as the lane does for HTTP/1.1; the rest goes to ServeHTTP.
type secondServer struct {
	*h2.Server
	edge *Edge
	ctx  context.Context // of the requests
	door *handover
	hits sync.Pool // of *streamHit
	// The names of the fields that each hit has of its own, in a header block.
	statusName, idName []byte
	altSvc             []byte // the field that each answer over TLS has
}

func newSecondServer(ctx context.Context, e *Edge, door *handover) *secondServer {
	limits := e.limits()
	s := &secondServer{
		edge: e, ctx: ctx, door: door,
		statusName: h2.AppendFieldName(nil, "cache-status"), idName: h2.AppendFieldName(nil, requestIDFieldLower),
	}
	s.Server = h2.New(h2.Options{
		Handler: e, ErrorLog: e.serverLog, Now: e.now,
		Oversized: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.take(w, r, true) }),
		Limits: h2.Limits{
			Streams: streamsMax, HeaderBytes: 2 * int(limits.HeaderSize), Header: limits.HeaderTimeout, Idle: limits.IdleTimeout,
			Stall: limits.WriteTimeout, Ping: pingAfter,
		},
	})
	if e.altSvc != nil {
		s.altSvc = h2.AppendValue(h2.AppendFieldName(nil, "alt-svc"), e.altSvc[0])
	}
	s.hits.New = func() any { return &streamHit{server: s} }
	return s
}

// Serve serves what comes through the door until that closes, and returns when all connections have ended.
func (s *secondServer) Serve(door net.Listener) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		nc, err := door.Accept()
		if err != nil {
			return http.ErrServerClosed
		}
		conns.Go(func() { s.serve(nc) })
	}
}

// Shutdown is http.Server.Shutdown.
func (s *secondServer) Shutdown(ctx context.Context) error {
	s.door.Close()
	return s.Server.Shutdown(ctx)
}

func (s *secondServer) serve(nc net.Conn) {
	c := connOf(nc)
	c.multiplexed.Store(true)
	s.edge.track(c, http.StateNew)
	p := h2.Peer{
		Conn: nc, Context: withConn(s.ctx, c), State: func(state http.ConnState) { s.edge.track(c, state) }, Refused: s.refused,
	}
	if t, ok := nc.(*tls.Conn); ok {
		state := t.ConnectionState()
		c.seal = s.Seal(c.Conn)
		p.Conn, p.TLS = c.seal.Over(t), &state
	} else {
		p.Conn = h2.Eagerly(c, c.Conn)
	}
	if s.edge.hits != nil && !c.over {
		p.Hit = func(r *h2.Request) h2.Hit { return s.hit(c.lane, r) }
	}
	s.ServeConn(p)
}

// refused counts what comes to no step.
func (s *secondServer) refused(why h2.Refusal) {
	r := refusedMalformed
	switch why {
	case h2.RefusedHeader:
		r = refusedHeaderSize
	case h2.RefusedSlow:
		r = refusedHeaderTimeout
	case h2.RefusedFlood:
		r = refusedFlood
	}
	s.edge.countRefused(r)
}

// streamHit is a plain hit on a stream.
type streamHit struct {
	passage
	server *secondServer
	lane   *laneConn
}

var _ h2.Hit = (*streamHit)(nil)

// hit returns the answer if the request is a plain hit.
func (s *secondServer) hit(c *laneConn, r *h2.Request) (found h2.Hit) {
	h := s.hits.Get().(*streamHit)
	h.lane = c
	defer func() {
		if v := recover(); v != nil {
			s.edge.log.Error("BUG: panic in the lane", "client", c.base.client, "panic", v, "stack", string(debug.Stack()))
			found = nil // ServeHTTP may know better
		}
		if found == nil {
			h.end()
		}
	}()
	if r.Scheme != c.scheme() || !h.head.Fill(r) || !s.edge.hit(c, &h.passage, r.At) {
		return nil
	}
	if h.Size() > 0 {
		if !h.answer.InMemory() {
			return nil // a disk is read in a goroutine of the stream's, not in the connection's
		}
		h.pieces = h.answer.AppendBody(h.pieces[:0])
	}
	return h
}

// end forgets all and gives h back to the pool.
func (h *streamHit) end() {
	h.forget()
	h.lane, h.pieces = nil, h.pieces[:0]
	h.server.hits.Put(h)
}

// AppendHeader implements h2.Hit.
func (h *streamHit) AppendHeader(dst []byte) []byte {
	e := h.server.edge
	out := h.answer.AppendCacheStatus(h.out[:0])
	h.status = [2]int{0, len(out)}
	out = e.ids.AppendNext(out)
	h.id = [2]int{h.status[1], len(out)}
	h.out = out
	dst = h.answer.AppendBlock(dst)
	dst = h2.AppendValue(append(dst, h.server.statusName...), out[:h.status[1]])
	dst = h2.AppendValue(append(dst, h.server.idName...), out[h.status[1]:])
	if h.lane.base.secure {
		dst = append(dst, h.server.altSvc...)
	}
	if h.Size() > joinBytes {
		h.first = e.now() // or it would be told from the end
	}
	return dst
}

// requestIDFieldLower is RequestIDField as HTTP/2 has it.
const requestIDFieldLower = "wherry-request-id"

// Size implements h2.Hit.
func (h *streamHit) Size() int64 {
	if h.head.Method != http.MethodGet {
		return 0
	}
	return h.answer.Size
}

// AppendContent implements h2.Hit.
func (h *streamHit) AppendContent(dst []byte, n int) ([]byte, error) {
	for n > 0 {
		m := min(n, len(h.pieces[0]))
		dst = append(dst, h.pieces[0][:m]...)
		n -= m
		if h.pieces[0] = h.pieces[0][m:]; len(h.pieces[0]) == 0 {
			h.pieces = h.pieces[1:]
		}
	}
	return dst, nil
}

// Done implements h2.Hit.
func (h *streamHit) Done(sent int64, at time.Time, err error) {
	h.sent, h.ended = sent, at
	if h.first.IsZero() {
		h.first = at
	}
	h.server.edge.recordHit(h.lane, &h.passage, err)
	h.end()
}
