package programs

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/fault"
)

// upstream asks one program, and says in faults what clients may know.
type upstream struct {
	http.RoundTripper
	name string
	site http.Handler        // takes what the program asks while it answers
	over *compute.Connection // of the client; nil: none
}

// Over is u for the requests of a client's connection. The context of what the cache fetches has no values of the client's.
func (u upstream) Over(c *compute.Connection) http.RoundTripper {
	u.over = c
	return u
}

// RoundTrip implements http.RoundTripper.
func (u upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := context.WithValue(r.Context(), callKey{}, call{u.site, r})
	if u.over != nil {
		ctx = compute.WithConnection(ctx, u.over)
	}
	r = r.WithContext(ctx)
	response, err := u.RoundTripper.RoundTrip(r)
	if err == nil {
		return response, nil
	}
	f := *fault.Of(err)
	var limit *compute.LimitError
	switch {
	case errors.As(err, &limit):
		f.Notice = fmt.Sprintf("The program %s passed its limit %q.", u.name, limit.Limit)
		f.Proxy = "http_response_incomplete" // RFC 9209 §2.3.12
		switch {
		case f.Party == fault.Client:
			f.Notice = fmt.Sprintf("The request is larger than the limit %q of the program %s.", limit.Limit, u.name)
			f.Proxy = "http_request_error"
		case f.Status == http.StatusGatewayTimeout:
			f.Proxy = "http_response_timeout" // RFC 9209 §2.3.14
		}
	case f.Party == fault.Origin:
		f.Notice = fmt.Sprintf("The program %s gave no response.", u.name)
		f.Proxy = "http_protocol_error"
	case f.Party == fault.Config:
		f.Notice = fmt.Sprintf("There is no program %s on this node.", u.name)
	}
	return nil, &f
}
