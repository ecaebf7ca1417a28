package edge

import (
	"net/http"

	"github.com/wherry/wherry/edge/hop"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/trace"
)

// RequestIDField names the request in the request to the origin and in the response to the client. What a client sends in it
// is replaced: an id that a stranger chose can't name one line of the log.
const RequestIDField = hop.RequestIDField

// receive gives the request its id and verifies the operator's trace credential.
func (e *Edge) receive(x *exchange) (goOn bool) {
	x.id = e.ids.Next()
	id := []string{x.id}
	x.w.requestID = id
	x.r.Header[RequestIDField] = id
	if x.conn != nil {
		x.conn.handled.Store(true)
		if x.r.ProtoMajor != 1 {
			x.conn.multiplexed.Store(true)
		}
	}
	if x.program != "" {
		x.forgetOuter()
	}
	if credentials := x.r.Header[trace.Field]; credentials != nil {
		delete(x.r.Header, trace.Field) // also a bad one: an origin could otherwise collect good ones
		e.acceptTrace(x, credentials)
	}
	if why := x.conn.refusalOf(x.r); why != nil {
		x.w.Header()["Connection"] = []string{"close"} // nobody knows where the next request would begin
		return x.refuse(reason(why.Why), fault.Client, why.Status, why.Notice)
	}
	if x.r.Body != nil && x.r.Body != http.NoBody {
		x.receiveBody()
	}
	return true
}

// acceptTrace starts the trace that an operator asked for. A wrong credential doesn't hurt the request, which goes on untraced:
// otherwise the field would tell strangers whether they guessed well.
func (e *Edge) acceptTrace(x *exchange, credentials []string) {
	if len(credentials) != 1 {
		e.metrics.tracesRefused.Inc()
		return
	}
	id, err := trace.Verify(e.token, credentials[0], x.began)
	if err != nil {
		e.metrics.tracesRefused.Inc()
		e.log.Debug("trace refused", "request_id", x.id, "client", x.r.RemoteAddr, "error", err)
		return
	}
	e.metrics.tracesAccepted.Inc()
	x.trace = trace.New(id)
	x.r = x.r.WithContext(trace.With(x.r.Context(), x.trace))
	x.trace.Addf("edge", x.step, "%s %s from %s by %s, request %s", x.r.Method, x.r.RequestURI, x.r.RemoteAddr, x.r.Proto, x.id)
}
