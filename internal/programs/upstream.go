package programs

import (
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
}

// RoundTrip implements http.RoundTripper.
func (u upstream) RoundTrip(r *http.Request) (*http.Response, error) {
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
