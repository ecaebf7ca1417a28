package edge

import (
	"io"
	"net/http"
	"time"

	"github.com/wherry/wherry/edge/gate"
)

var _ gate.Conn = (*laneConn)(nil)

// NextRequest implements gate.Conn.
func (c *laneConn) NextRequest(p []byte) (int, error) { return c.unanswered(p) }

// Rest implements gate.Conn.
func (c *laneConn) Rest(p []byte) (int, error) {
	if c.ended {
		return 0, io.EOF
	}
	return c.Conn.Read(p)
}

// Hurry implements gate.Conn. On a new connection the time runs from its beginning.
func (c *laneConn) Hurry() {
	if c.lane.header > 0 && c.State() == http.StateIdle {
		_ = c.Conn.SetReadDeadline(time.Now().Add(c.lane.header)) // a connection without deadlines is one of a test
	}
}

// State implements gate.Conn.
func (c *laneConn) State() http.ConnState { return http.ConnState(c.base.state.Load()) }

// Read returns what net/http may have: what the lane doesn't answer, past the gate.
func (c *laneConn) Read(p []byte) (int, error) {
	n, err := c.gate.Read(p, c)
	if state := c.State(); n > 0 && (state == http.StateNew || state == http.StateIdle) {
		c.given = true
		c.begun.Store(true)
	}
	return n, err
}

// refusalOf returns why the gate refuses the request at hand, or nil.
func (c *conn) refusalOf(r *http.Request) *gate.Refusal {
	if c == nil || c.lane == nil || c.lane.moved() || r.ProtoMajor != 1 {
		return nil
	}
	return c.lane.gate.Refusal()
}
