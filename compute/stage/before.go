package stage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/wherry/wherry/fault"
)

// The fields between the edge and programs.
const (
	Field        = "Wherry-Stage" // request or response
	StatusField  = "Wherry-Status"
	TargetField  = "Wherry-Target"
	setPrefix    = "Wherry-Set-"
	ownPrefix    = "Wherry-"
	setsMax      = 64
	targetMax    = 8 << 10
	stageBefore  = "request"
	stageAfter   = "response"
	opBefore     = "ask program before the cache"
	opAfter      = "ask program after the origin"
	proxyProgram = "http_response_incomplete" // RFC 9209 §2.3
)

// Decision is what a program made of a request.
type Decision struct {
	Answer *http.Response // for the client; nil lets the request go on
	Target *url.URL       // path and query in the place of its own; nil leaves them
	Set    http.Header    // fields to set; an empty value takes a field off
}

// Before asks a program what becomes of a request. The caller closes an Answer's Body.
func Before(ctx context.Context, program http.RoundTripper, r *http.Request) (Decision, error) {
	ask := r.Clone(ctx)
	ask.Body, ask.ContentLength, ask.GetBody, ask.TransferEncoding = nil, 0, nil, nil
	for _, name := range []string{"Content-Length", "Expect", "Trailer", "Upgrade", "Connection"} {
		ask.Header.Del(name)
	}
	disown(ask.Header)
	ask.Header.Set(Field, stageBefore)
	answer, err := program.RoundTrip(ask)
	if err != nil {
		return Decision{}, err
	}
	if answer.StatusCode != http.StatusNoContent {
		disown(answer.Header)
		return Decision{Answer: answer}, nil
	}
	answer.Body.Close()
	d, err := decide(answer.Header)
	if err != nil {
		return Decision{}, &fault.Error{Party: fault.Origin, Op: opBefore, Status: http.StatusBadGateway, Proxy: proxyProgram, Err: err}
	}
	return d, nil
}

// disown takes off what only the edge and programs say to each other.
func disown(h http.Header) {
	for name := range h {
		if strings.HasPrefix(name, ownPrefix) && name != requestID {
			delete(h, name)
		}
	}
}

// requestID is the field by which logs of the edge and the program are read together.
const requestID = "Wherry-Request-Id"

// decide reads the fields of a 204.
func decide(h http.Header) (Decision, error) {
	var d Decision
	if target := h.Get(TargetField); target != "" {
		if len(target) > targetMax {
			return d, fmt.Errorf("%s has more than %d bytes", TargetField, targetMax)
		}
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") || strings.Contains(target, "#") {
			return d, fmt.Errorf("%s is %q: say a path and query, like /b/page?x=1", TargetField, target)
		}
		d.Target = &url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery, ForceQuery: u.ForceQuery}
	}
	for name, values := range h {
		name, ok := strings.CutPrefix(name, setPrefix)
		if !ok {
			continue
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			return d, fmt.Errorf("%s%s: that isn't a field's name", setPrefix, name)
		case reserved[name] || strings.HasPrefix(name, ownPrefix) || strings.HasPrefix(name, "X-Forwarded-"):
			return d, fmt.Errorf("%s%s: the edge says that field itself", setPrefix, name)
		case len(values) != 1 || !httpguts.ValidHeaderFieldValue(values[0]):
			return d, fmt.Errorf("%s%s: give one value", setPrefix, name)
		case len(d.Set) == setsMax:
			return d, errors.New("it sets too many fields: " + fmt.Sprint(setsMax) + " at most")
		}
		if d.Set == nil {
			d.Set = http.Header{}
		}
		d.Set[name] = values
	}
	return d, nil
}

// reserved are fields that frame messages or end at a hop (RFC 9110 §7.6.1), and those by which nodes know where a request has been.
var reserved = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Content-Length": true, "Host": true, "Expect": true, "Forwarded": true, "Via": true, "Cdn-Loop": true,
	"Range": true, "If-Range": true,
}

// Apply makes the request what the program wants it to be.
func (d Decision) Apply(r *http.Request) {
	if d.Target != nil {
		u := *r.URL
		u.Path, u.RawPath, u.RawQuery, u.ForceQuery = d.Target.Path, d.Target.RawPath, d.Target.RawQuery, d.Target.ForceQuery
		r.URL, r.RequestURI = &u, u.RequestURI()
	}
	for name, values := range d.Set {
		if values[0] == "" {
			r.Header.Del(name)
		} else {
			r.Header[name] = values
		}
	}
}
