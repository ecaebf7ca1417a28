package exchange

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Header list limits where Options don't say otherwise.
const headerBytesMax = 64 << 10

// plan is what a request says of itself before it is sent.
type plan struct {
	method, scheme, authority, path string
	protocol                        string // what Upgrade asks for
	kind                            kind
	length                          int64 // of the content; -1 if it isn't known
	urgency                         int
	expects                         bool // Expect: 100-continue
}

// planRequest checks a request. Its errors are of who made it.
func planRequest(r *http.Request) (*plan, error) {
	p := &plan{method: r.Method, authority: r.Host, length: r.ContentLength, kind: kindRaw, urgency: -1}
	if r.URL == nil {
		return nil, errors.New("the request has no URL")
	}
	if p.method == "" {
		p.method = http.MethodGet
	}
	if p.authority == "" {
		p.authority = r.URL.Host
	}
	if p.scheme = r.URL.Scheme; p.scheme == "" {
		p.scheme = "https"
	}
	p.path = r.URL.RequestURI()
	if hasToken(r.Header["Connection"], "upgrade") {
		p.protocol = strings.Join(r.Header["Upgrade"], ", ")
	}
	hasContent := r.Body != nil && r.Body != http.NoBody
	switch {
	case !isMade(p.method, inToken):
		return nil, fmt.Errorf("%q is no method", p.method)
	case p.scheme != "http" && p.scheme != "https":
		return nil, fmt.Errorf("%q is no scheme that can be asked for; take http or https", p.scheme)
	case p.authority == "" || !validValue(p.authority):
		return nil, fmt.Errorf("%q is no host", p.authority)
	case !validValue(p.path) || !validValue(p.protocol):
		return nil, errors.New("the request's target isn't valid")
	case p.protocol != "" && hasContent:
		return nil, errors.New("a request for another protocol can't have content")
	case p.method == http.MethodConnect || p.protocol != "":
		p.length = -1
	case !hasContent:
		p.kind, p.length = kindEmpty, 0
	case len(r.Trailer) > 0:
		p.kind = kindFramed
	}
	if hasContent && p.length == 0 {
		p.length = -1 // http.Request: 0 with a Body means that nobody knows
	}
	if u, ok := urgency(r.Header["Priority"]); ok {
		p.urgency = u
	}
	p.expects = hasContent && hasToken(r.Header["Expect"], "100-continue")
	return p, checkFields(r.Header)
}

func checkFields(h http.Header) error {
	for name, values := range h {
		if !isMade(name, inToken) {
			return fmt.Errorf("%q is no field name", name)
		}
		for _, v := range values {
			if !validValue(trim(v)) {
				return fmt.Errorf("the field %s has a value that can't be sent", name)
			}
		}
	}
	return nil
}

func trim(v string) string {
	if v != "" && (blank(v[0]) || blank(v[len(v)-1])) {
		return strings.Trim(v, " \t")
	}
	return v
}

// addRequest writes the lines of a request.
func (e *encoder) addRequest(p *plan, r *http.Request) {
	e.add(":method", p.method)
	if p.method == http.MethodConnect && p.protocol == "" {
		e.add(":authority", p.authority) // RFC 9113 §8.5
	} else {
		e.add(":scheme", p.scheme)
		e.add(":authority", p.authority)
		e.add(":path", p.path)
	}
	if p.protocol != "" {
		e.add(":protocol", p.protocol)
	}
	switch {
	case p.length > 0:
		e.add("Content-Length", strconv.FormatInt(p.length, 10))
	case p.length == 0 && (p.method == http.MethodPost || p.method == http.MethodPut || p.method == http.MethodPatch):
		e.add("Content-Length", "0") // RFC 9110 §8.6
	}
	for name := range r.Trailer {
		e.add("Trailer", name)
	}
	for name, values := range r.Header {
		switch name {
		case "Host", "Content-Length", "Trailer":
			continue
		case "Te":
			if hasToken(values, "trailers") {
				e.add("Te", "trailers")
			}
			continue
		}
		e.addValues(name, values)
	}
}

func (e *encoder) addValues(name string, values []string) {
	name = canonical(name)
	if ofHop(name) {
		return
	}
	for _, v := range values {
		e.add(name, trim(v))
	}
}

// pseudo are the pseudo-header fields of a section.
type pseudo struct{ method, scheme, authority, path, protocol, status string }

// split takes the pseudo-header fields from the front of the section and makes a header of the rest.
func (s *section) split() (p pseudo, h http.Header, err error) {
	fields := s.fields
	for len(fields) > 0 && fields[0].name[0] == ':' {
		place := p.place(fields[0].name)
		if *place != "" || fields[0].value == "" {
			return p, nil, malformed("a pseudo-header field that is empty or there twice")
		}
		*place = fields[0].value
		fields = fields[1:]
	}
	h = make(http.Header, len(fields))
	values := make([]string, len(fields)) // one array for the values of all fields that come once
	for i, f := range fields {
		switch {
		case f.name[0] == ':' || ofHop(f.name) || f.name == "Host":
			return p, nil, malformed("a field that can't be where it is")
		case f.name == "Te" && f.value != "trailers":
			return p, nil, malformed("TE with something else than trailers")
		case h[f.name] == nil:
			values[i] = f.value
			h[f.name] = values[i : i+1 : i+1]
		default:
			h[f.name] = append(h[f.name], f.value)
		}
	}
	return p, h, nil
}

func (p *pseudo) place(name string) *string {
	switch name {
	case ":method":
		return &p.method
	case ":scheme":
		return &p.scheme
	case ":authority":
		return &p.authority
	case ":path":
		return &p.path
	case ":protocol":
		return &p.protocol
	}
	return &p.status // the static table has no others
}

// contentLength reads Content-Length; -1 if there is none.
func contentLength(h http.Header) (int64, error) {
	values := h["Content-Length"]
	if len(values) == 0 {
		return -1, nil
	}
	n := parseLength(values[0])
	if n < 0 || len(values) > 1 {
		return 0, malformed("a Content-Length that is none")
	}
	return n, nil
}

// request makes what net/http would make of a request's section.
func (s *section) request(k kind) (r *http.Request, scheme string, err error) {
	p, h, err := s.split()
	if err != nil {
		return nil, "", err
	}
	length, err := contentLength(h)
	plain := p.method == http.MethodConnect && p.protocol == ""
	switch {
	case err != nil:
		return nil, "", err
	case !isMade(p.method, inToken) || p.status != "" || p.authority == "":
		return nil, "", malformed("a request without method or authority, or with a status")
	case plain && (p.scheme != "" || p.path != ""): // RFC 9113 §8.5
		return nil, "", malformed("CONNECT with a target")
	case !plain && p.scheme != "http" && p.scheme != "https":
		return nil, "", malformed("a scheme that is none of HTTP")
	case !plain && !strings.HasPrefix(p.path, "/") && (p.path != "*" || p.method != http.MethodOptions):
		return nil, "", malformed("a path that is none")
	case k == kindEmpty && length > 0:
		return nil, "", malformed("content that is missing")
	}
	r = &http.Request{
		Method: p.method, Proto: "HTTP/2.0", ProtoMajor: 2, Header: h, Host: p.authority,
		RequestURI: p.path, Body: http.NoBody, ContentLength: length,
	}
	if plain {
		r.URL, r.RequestURI = &url.URL{Host: p.authority}, p.authority
	} else if r.URL, err = url.ParseRequestURI(p.path); err != nil {
		return nil, "", malformed("a path that is no URI")
	}
	if k == kindEmpty || plain || p.protocol != "" {
		r.ContentLength = 0
	}
	if p.protocol != "" { // what asks for another protocol looks as in HTTP/1.1, where that comes from
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{p.protocol}
	}
	r.Trailer = takeAnnounced(h)
	return r, p.scheme, nil
}

// takeAnnounced makes of Trailer what net/http makes of it.
func takeAnnounced(h http.Header) http.Header {
	values := h["Trailer"]
	delete(h, "Trailer")
	var trailer http.Header
	for _, v := range values {
		trailer = announce(trailer, v)
	}
	return trailer
}

// announce adds the names in a value of Trailer to trailer.
func announce(trailer http.Header, value string) http.Header {
	for name := range strings.SplitSeq(value, ",") {
		name = canonical(strings.TrimSpace(name))
		switch name {
		case "", "Transfer-Encoding", "Trailer", "Content-Length": // RFC 9110 §6.5.1
			continue
		}
		if trailer == nil {
			trailer = http.Header{}
		}
		trailer[name] = nil
	}
	return trailer
}

// response makes what net/http would make of a response's section.
func (s *section) response(k kind) (*http.Response, error) {
	p, h, err := s.split()
	if err != nil {
		return nil, err
	}
	status, err := strconv.Atoi(p.status)
	if err != nil || status < 100 || status > 999 || p.method != "" || p.scheme != "" || p.authority != "" || p.path != "" {
		return nil, malformed("a response without a status, or with what is of requests")
	}
	length, err := contentLength(h)
	if err != nil {
		return nil, err
	}
	if final := status >= 200 || status == http.StatusSwitchingProtocols; final == (k == kindInterim) {
		return nil, malformed("a response whose status doesn't go with its frame")
	}
	if (p.protocol != "") != (status == http.StatusSwitchingProtocols) || p.protocol != "" && k != kindRaw {
		return nil, malformed("another protocol without 101, or the other way round")
	}
	resp := &http.Response{
		StatusCode: status, Status: p.status + " " + http.StatusText(status), Proto: "HTTP/2.0", ProtoMajor: 2,
		Header: h, ContentLength: length, Trailer: takeAnnounced(h),
	}
	if p.protocol != "" {
		resp.Proto, resp.ProtoMajor, resp.ProtoMinor = "HTTP/1.1", 1, 1
		h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{p.protocol}
	}
	return resp, nil
}
