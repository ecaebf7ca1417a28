package fault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// Party is who has to act for an error to go away.
type Party string

// The parties.
const (
	Client Party = "client" // the request was bad or its sender left
	Origin Party = "origin" // the customer's server failed
	Edge   Party = "edge"   // this node failed or is full
	Peer   Party = "peer"   // another node of ours failed
	Config Party = "config" // the configuration asks for something that can't work
)

// Error is one failure of one operation.
type Error struct {
	Party  Party
	Op     string // what was being done, in the words of the request's steps: "connect", "read header", "route"
	Status int    // what the client gets, such as 502; 0 means 500
	Retry  bool   // whether the same request may succeed elsewhere or later
	// Proxy is the Proxy-Status error type (RFC 9209 §2.3), such as connection_refused; may be empty.
	Proxy string
	// Notice is a sentence for the client, where more can be said than whose fault it is; may be empty.
	Notice string
	Err    error // the cause; may be nil
}

var _ error = (*Error)(nil)

// New returns an error of party in op that answers status.
func New(party Party, op string, status int, err error) *Error {
	return &Error{Party: party, Op: op, Status: status, Err: err}
}

// Error returns "PARTY: OP: CAUSE".
func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s: %s", e.Party, e.Op)
	}
	return fmt.Sprintf("%s: %s: %v", e.Party, e.Op, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Of returns the first Error in err's chain. An error that has none is the edge's own, except that a cancelled context means
// that the client left. Of(nil) is nil.
func Of(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, context.Canceled) {
		return &Error{Party: Client, Op: "wait", Status: StatusClientClosedRequest, Err: err}
	}
	return &Error{Party: Edge, Op: "serve", Status: http.StatusInternalServerError, Err: err}
}

// StatusClientClosedRequest is what logs show when the client left before its response; it is never sent.
const StatusClientClosedRequest = 499
