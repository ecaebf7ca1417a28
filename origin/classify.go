package origin

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/wherry/wherry/fault"
)

// dialError marks what went wrong before there was a connection; what else fails before that is TLS.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// The types of errors and their statuses are those of RFC 9209 §2.3.

func originFault(op string, status int, proxy string, err error) *fault.Error {
	return &fault.Error{Party: fault.Origin, Op: op, Status: status, Retry: true, Proxy: proxy, Err: err}
}

func limitReached(err error) *fault.Error {
	return originFault("connect", http.StatusServiceUnavailable, "connection_limit_reached", err)
}

// broken is a response that can't be passed on.
func broken(proxy string, err error) *fault.Error {
	return originFault("read header", http.StatusBadGateway, proxy, err)
}

// countsAgainst says whether a failure tells that the origin is unwell: it can't be reached, or doesn't answer. One that answers
// badly is well enough to be asked for something else, and a full one isn't dead.
func countsAgainst(e *fault.Error) bool {
	switch e.Proxy {
	case "connection_limit_reached", "http_protocol_error", "http_upgrade_failed", "http_response_header_section_size",
		"http_request_error":
		return false
	}
	return e.Party == fault.Origin && e.Retry
}

// classify says whose fault it is that the transport returned err instead of a response.
func (a *attempt) classify(err error) *fault.Error {
	a.mu.Lock()
	p := a.phase
	a.mu.Unlock()
	switch cause := context.Cause(a.asked); {
	case cause == errConnectionLimit, errors.Is(err, errConnectionLimit):
		return limitReached(errConnectionLimit)
	case cause == errWriteTimeout:
		return originFault("write request", http.StatusGatewayTimeout, "connection_write_timeout", cause)
	case cause == errHeaderTimeout:
		return originFault("read header", http.StatusGatewayTimeout, "http_response_timeout", cause)
	case a.ctx.Err() != nil:
		return callerGone(a.ctx, p.op())
	}
	if a.body != nil {
		if e := a.body.readError(); e != nil {
			return clientBroke(e)
		}
	}
	if p < phaseSend {
		return connectFault(err)
	}
	return answerFault(p.op(), err)
}

// op is what was being done in a phase, in fault's words.
func (p phase) op() string {
	switch p {
	case phaseWait, phaseDial:
		return "connect"
	case phaseSend:
		return "write request"
	case phaseAwait:
		return "read header"
	}
	return "read body"
}

// callerGone is what ends with its request: mostly because the client left, else because somebody above set a time limit. It
// never counts against the origin.
func callerGone(ctx context.Context, op string) *fault.Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &fault.Error{
			Party: fault.Origin, Op: op, Status: http.StatusGatewayTimeout, Proxy: "http_response_timeout", Err: context.Cause(ctx),
		}
	}
	return fault.New(fault.Client, op, fault.StatusClientClosedRequest, context.Cause(ctx))
}

// clientBroke is a request whose body couldn't be read. If edge already said why, that stands.
func clientBroke(err error) *fault.Error {
	var e *fault.Error
	if errors.As(err, &e) {
		return e
	}
	return fault.New(fault.Client, "read request", http.StatusBadRequest, err)
}

// connectFault is a connection that couldn't be had.
func connectFault(err error) *fault.Error {
	var dial *dialError
	if !errors.As(err, &dial) {
		return tlsFault(err)
	}
	status, proxy := http.StatusBadGateway, "destination_unavailable"
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		proxy = "dns_error"
		if dns.IsTimeout {
			status, proxy = http.StatusGatewayTimeout, "dns_timeout"
		}
	case errors.Is(err, syscall.ECONNREFUSED):
		proxy = "connection_refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		proxy = "destination_ip_unroutable"
	case timedOut(err):
		status, proxy = http.StatusGatewayTimeout, "connection_timeout"
	default:
		status = http.StatusServiceUnavailable
	}
	return originFault("connect", status, proxy, err)
}

func tlsFault(err error) *fault.Error {
	status, proxy := http.StatusBadGateway, "tls_protocol_error"
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		proxy = "tls_certificate_error"
	case remoteAlert(err):
		proxy = "tls_alert_received"
	case timedOut(err):
		status, proxy = http.StatusGatewayTimeout, "connection_timeout"
	case terminated(err):
		proxy = "connection_terminated"
	}
	return originFault("tls", status, proxy, err)
}

// remoteAlert says whether err is an alert of the other side, which crypto/tls wraps in a net.OpError.
func remoteAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// answerFault is a connection on which no response came.
func answerFault(op string, err error) *fault.Error {
	status, proxy := http.StatusBadGateway, "http_protocol_error"
	text := err.Error()
	switch {
	case timedOut(err):
		status, proxy, op = http.StatusGatewayTimeout, "http_response_timeout", "read header"
	case terminated(err):
		proxy = "connection_terminated"
	// The transport has no types for these; a test pins the words.
	case strings.Contains(text, "response headers exceeded"), strings.Contains(text, "response header list larger"):
		proxy, op = "http_response_header_section_size", "read header"
	case strings.Contains(text, "invalid header"), strings.Contains(text, "invalid HTTP header"),
		strings.Contains(text, "invalid trailer"), strings.Contains(text, "invalid request :path"),
		strings.Contains(text, "control character in Request.URL"):
		return fault.New(fault.Client, "write request", http.StatusBadRequest, err)
	default:
		op = "read header"
	}
	return originFault(op, status, proxy, err)
}

func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

func terminated(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed} {
		if errors.Is(err, end) {
			return true
		}
	}
	text := err.Error()
	return strings.Contains(text, "server closed idle connection") || strings.Contains(text, "connection lost") ||
		strings.Contains(text, "GOAWAY")
}

// bodyError says whose fault it is that a response body ended early.
func (a *attempt) bodyError(err error) error {
	switch cause := context.Cause(a.asked); {
	case cause == errReadTimeout:
		return bodyFault(http.StatusGatewayTimeout, "connection_read_timeout", cause)
	case a.ctx.Err() != nil:
		return callerGone(a.ctx, "read body")
	case timedOut(err):
		return bodyFault(http.StatusGatewayTimeout, "connection_read_timeout", err)
	}
	return bodyFault(http.StatusBadGateway, "http_response_incomplete", err)
}

func bodyFault(status int, proxy string, err error) *fault.Error {
	return &fault.Error{Party: fault.Origin, Op: "read body", Status: status, Proxy: proxy, Err: err}
}
