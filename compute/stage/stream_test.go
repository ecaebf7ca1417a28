package stage

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// closing is a body that knows whether it is closed.
type closing struct {
	io.Reader
	closed bool
}

func (c *closing) Read(p []byte) (int, error) {
	if c.closed {
		return 0, io.ErrClosedPipe
	}
	return c.Reader.Read(p)
}

func (c *closing) Close() error {
	c.closed = true
	return nil
}

// TestAfterWhileTheProgramReads has programs that answer before they have read what the origin sends.
func TestAfterWhileTheProgramReads(t *testing.T) {
	content := strings.Repeat("ahoy ", 20_000)
	for _, status := range []int{http.StatusOK, http.StatusNoContent} {
		body := &closing{Reader: strings.NewReader(content)}
		origin := tripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: body, ContentLength: int64(len(content))}, nil
		})
		ended := make(chan struct{})
		program := tripper(func(r *http.Request) (*http.Response, error) {
			out, in := io.Pipe()
			go func() {
				defer close(ended)
				b := make([]byte, 1000)
				for {
					n, err := r.Body.Read(b)
					if status == http.StatusOK {
						_, _ = in.Write(bytes.ToUpper(b[:n])) // it ends with the reader
					}
					if err != nil {
						in.CloseWithError(err)
						return
					}
				}
			}()
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: out}, nil
		})
		response, err := (&After{Next: origin, Program: program}).RoundTrip(httptest.NewRequest("GET", "http://shop.example/", nil))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		if err != nil || !strings.EqualFold(string(got), content) || (status == http.StatusOK) != (string(got) == strings.ToUpper(content)) {
			t.Errorf("status %d: %d of %d bytes, %v", status, len(got), len(content), err)
		}
		response.Body.Close()
		if <-ended; !body.closed {
			t.Errorf("status %d: the origin's body is left open", status)
		}
	}
}
