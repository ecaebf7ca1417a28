package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
)

func TestOf(t *testing.T) {
	origin := &Error{Party: Origin, Op: "connect", Status: http.StatusBadGateway, Retry: true, Err: io.ErrUnexpectedEOF}
	for _, c := range []struct {
		name   string
		err    error
		party  Party
		status int
	}{
		{"a fault", origin, Origin, http.StatusBadGateway},
		{"a fault that was wrapped", fmt.Errorf("fetch: %w", origin), Origin, http.StatusBadGateway},
		{"a client that left", fmt.Errorf("read: %w", context.Canceled), Client, StatusClientClosedRequest},
		{"anything else is ours", errors.New("disk full"), Edge, http.StatusInternalServerError},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Of(c.err)
			if got.Party != c.party || got.Status != c.status {
				t.Errorf("fault of %s with status %d, want %s with %d", got.Party, got.Status, c.party, c.status)
			}
		})
	}
	if Of(nil) != nil {
		t.Error("no error has a fault")
	}
}

func TestErrorText(t *testing.T) {
	err := New(Origin, "connect", http.StatusBadGateway, errors.New("connection refused"))
	if got, want := err.Error(), "origin: connect: connection refused"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := New(Edge, "admit", 503, nil).Error(), "edge: admit"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !errors.Is(New(Origin, "read", 502, io.ErrUnexpectedEOF), io.ErrUnexpectedEOF) {
		t.Error("the cause can't be found")
	}
}
