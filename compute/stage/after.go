package stage

import (
	"net/http"
	"strconv"
)

// After is an origin whose responses a program may change.
type After struct {
	Next, Program http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (a *After) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := a.Next.RoundTrip(r)
	if err != nil || !shown(r, response) {
		return response, err
	}
	kept := &keeper{body: response.Body}
	ask := (&http.Request{
		Method: http.MethodPost, URL: r.URL, Host: r.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: response.Header.Clone(), Body: kept, ContentLength: response.ContentLength,
	}).WithContext(r.Context())
	disown(ask.Header)
	for _, name := range ofClient {
		if values, said := r.Header[name]; said {
			ask.Header[name] = values
		}
	}
	ask.Header.Set(Field, stageAfter)
	ask.Header.Set(StatusField, strconv.Itoa(response.StatusCode))
	answer, err := a.Program.RoundTrip(ask)
	if err != nil {
		response.Body.Close()
		return nil, err
	}
	if answer.StatusCode == http.StatusNoContent {
		answer.Body.Close()
		response.Body = kept.again()
		return response, nil
	}
	kept.past.Store(true)
	answer.Body = until{answer.Body, response.Body}
	merge(answer, response)
	answer.Request = r
	return answer, nil
}

// ofClient are fields by which the edge says for whom the program works.
var ofClient = [...]string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// shown says whether there is content that a program can change.
func shown(r *http.Request, response *http.Response) bool {
	switch response.StatusCode {
	case http.StatusSwitchingProtocols, http.StatusNoContent, http.StatusPartialContent, http.StatusNotModified, http.StatusRequestedRangeNotSatisfiable:
		return false
	}
	return r.Method != http.MethodHead && r.Method != http.MethodConnect
}

// ofContent are fields that are true of the origin's content only (RFC 9110 §8, §14; RFC 9530).
var ofContent = map[string]bool{
	"Content-Encoding": true, "Content-Length": true, "Content-Type": true, "Content-Language": true, "Content-Location": true, "Content-Range": true,
	"Accept-Ranges": true, "Etag": true, "Last-Modified": true, "Content-Digest": true, "Repr-Digest": true, "Digest": true, "Content-Md5": true,
	"Transfer-Encoding": true, "Trailer": true,
}

// merge gives the program's answer the origin's fields that it says nothing of.
func merge(answer, origin *http.Response) {
	disown(answer.Header)
	for name, values := range origin.Header {
		if _, said := answer.Header[name]; !said && !ofContent[name] {
			answer.Header[name] = values
		}
	}
}
