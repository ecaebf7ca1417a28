package wherry

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"sync"
)

// AnswerMax is how large a response to Ask may be, its head included.
const AnswerMax = 16 << 20

// Ask is Transport's RoundTrip.
func Ask(r *http.Request) (*http.Response, error) { return Transport.RoundTrip(r) }

// Transport asks the edge, while the program answers a request: http.Client{Transport: wherry.Transport}. A request leaves and its whole response comes by one
// system call of Wherry's own, wherry_ask, in which the thread stands still: programs that ask for several things at once do it by http.DefaultTransport. That is
// what is used where the system call isn't there, so the same file runs on any Linux.
var Transport http.RoundTripper = new(transport)

type transport struct {
	mu sync.Mutex
	in []byte // of the call; mu guards it
}

// askable reports whether this is Wherry.
var askable = sync.OnceValue(func() bool {
	_, err := askEdge(nil, nil)
	return err != nil && !errors.Is(err, errors.ErrUnsupported) // ENOSYS is one
})

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if !askable() {
		return http.DefaultTransport.RoundTrip(r)
	}
	if err := r.Context().Err(); err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // it wasn't read
		}
		return nil, err
	}
	last := *r
	last.Close = true // the response ends with the connection
	var out bytes.Buffer
	if err := last.WriteProxy(&out); err != nil { // absolute-form: RFC 9112 §3.2.2
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.in == nil {
		t.in = make([]byte, AnswerMax)
	}
	n, err := askEdge(out.Bytes(), t.in)
	if err != nil {
		return nil, fmt.Errorf("asking the edge for %s: %w", r.URL, err)
	}
	return final(bufio.NewReader(bytes.NewReader(bytes.Clone(t.in[:n]))), r)
}

// final reads the response behind the interim ones (RFC 9110 §15.2).
func final(b *bufio.Reader, r *http.Request) (*http.Response, error) {
	for {
		response, err := http.ReadResponse(b, r)
		if err != nil || response.StatusCode >= 200 {
			return response, err
		}
	}
}
