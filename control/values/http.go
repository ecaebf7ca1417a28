package values

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/kv"
	"github.com/wherry/wherry/mesh"
)

// Path is where nodes send batches over the mesh.
const Path = "/control/v1/values"

// sendWithin bounds how long a node waits for a batch to be ordered.
const sendWithin = 30 * time.Second

var _ http.Handler = (*Values)(nil)

// ServeHTTP answers nodes.
func (v *Values) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	who, ok := mesh.PeerOf(r)
	if !ok || !slices.Contains(who.Roles, feed.RoleEdge) && !slices.Contains(who.Roles, feed.RoleControl) {
		http.Error(w, "values are written by edges", http.StatusForbidden)
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2*kv.BatchMax))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	err = v.Take(r.Context(), who.Node, data)
	var e *kv.SendError
	if err == nil || !errors.As(err, &e) {
		return
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	http.Error(w, err.Error(), statusOf(e))
}

func statusOf(e *kv.SendError) int {
	switch {
	case errors.Is(e, errMalformed):
		return http.StatusBadRequest
	case e.Gap:
		return http.StatusConflict
	case errors.Is(e, ErrElsewhere):
		return http.StatusServiceUnavailable
	case e.RetryAfter > 0:
		return http.StatusTooManyRequests
	}
	return http.StatusServiceUnavailable
}

// Send sends a batch to a control node at HOST:PORT. Errors are *kv.SendError.
func Send(ctx context.Context, transport http.RoundTripper, at string, batch []byte) error {
	ctx, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+at+Path, bytes.NewReader(batch))
	if err != nil {
		return &kv.SendError{Err: err}
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return &kv.SendError{Err: err}
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	e := &kv.SendError{Gap: resp.StatusCode == http.StatusConflict, Err: fmt.Errorf("%s: %s", at, strings.TrimSpace(string(text)))}
	if n, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16); err == nil { // with 429 alone
		e.RetryAfter = time.Duration(n) * time.Second
	}
	return e
}
