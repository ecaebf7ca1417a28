package edge

import (
	"crypto/tls"
	"errors"
	"io"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/edge/gate"
)

// secureLaneConn is a laneConn over TLS. net/http asks it for its state before it reads, in the connection's goroutine, and puts
// that into each request.
type secureLaneConn struct{ *laneConn }

// ConnectionState makes the handshake.
func (c secureLaneConn) ConnectionState() tls.ConnectionState {
	t := c.Conn.(*tls.Conn)
	if limit := c.lane.header; limit > 0 {
		_ = t.SetDeadline(time.Now().Add(limit)) // a connection without deadlines is one of a test
	}
	if err := t.Handshake(); err != nil {
		c.ended = true
		c.lane.refuse(c.base, err)
		return tls.ConnectionState{}
	}
	_ = t.SetDeadline(time.Time{})
	state := t.ConnectionState()
	c.version = tls.VersionName(state.Version)
	if state.ServerName != "" {
		c.sni = config.CanonicalHost(state.ServerName)
	}
	switch state.NegotiatedProtocol {
	case "", "http/1.1", "http/1.0":
	case "h2":
		c.ended = true
		c.where.Store(moves)
	default: // the configuration offers a protocol that isn't HTTP; who speaks it wanted the handshake
		c.ended = true
	}
	return state
}

// refuse tells a client that speaks HTTP where TLS is spoken.
func (l *lane) refuse(c *conn, err error) {
	var header tls.RecordHeaderError
	if errors.As(err, &header) && header.Conn != nil && gate.LooksLikeHTTP(header.RecordHeader) {
		_, _ = io.WriteString(header.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nThis port speaks HTTPS, the request was for HTTP.\n")
	}
	l.edge.serverLog.Printf("TLS handshake with %s: %v", c.client, err)
}
