package exchange

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
)

// opener notes how streams are opened, and opens none.
type opener struct {
	Session
	early, late int
}

var errNoStream = errors.New("no stream")

func (o *opener) OpenStream(context.Context) (Stream, error) {
	o.late++
	return nil, errNoStream
}

func (o *opener) OpenEarly(context.Context) (Stream, error) {
	o.early++
	return nil, errNoStream
}

func (o *opener) Peer() string { return "osaka" }

// Only what is safe to repeat, and has no content, goes before the handshake is done.
func TestOnlySafeRequestsLeaveEarly(t *testing.T) {
	for _, tt := range []struct {
		method, content string
		early           bool
	}{
		{"GET", "", true}, {"HEAD", "", true}, {"POST", "", false}, {"PUT", "x", false}, {"DELETE", "", false}, {"GET", "x", false}, {"OPTIONS", "", false},
	} {
		o := &opener{}
		transport := &Transport{Session: func(context.Context) (Session, error) { return o, nil }}
		r, err := http.NewRequestWithContext(t.Context(), tt.method, "https://shop.test/", http.NoBody)
		if tt.content != "" {
			r, err = http.NewRequestWithContext(t.Context(), tt.method, "https://shop.test/", strings.NewReader(tt.content))
		}
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := transport.RoundTrip(r); !errors.Is(err, errNoStream) {
			resp.Body.Close()
			t.Fatalf("%s: %v", tt.method, err)
		}
		if (o.early == 1) != tt.early || o.early+o.late != 1 {
			t.Errorf("%s with %q: %d streams early, %d late", tt.method, tt.content, o.early, o.late)
		}
	}
}
