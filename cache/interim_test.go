package cache

import (
	"net/http"
	"testing"
)

// TestInterimResponsesOfVersions: HTTP/1.0 has no interim responses, and its clients must not get any (RFC 9110 §15.2).
func TestInterimResponsesOfVersions(t *testing.T) {
	handler := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusProcessing)
		w.WriteHeader(http.StatusEarlyHints)
		answer(w, 200, "x", "Cache-Control", "no-store")
	}
	for _, version := range []struct {
		major, minor, interim int
	}{{1, 0, 0}, {1, 1, 2}, {2, 0, 2}} {
		bubble(t, handler, func(w *world) {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				r := request(method, "/")
				r.ProtoMajor, r.ProtoMinor = version.major, version.minor
				c := w.start(newClient(), r).wait()
				if len(c.interim) != version.interim || c.status != 200 {
					t.Errorf("%s over HTTP/%d.%d: %d interim responses, status %d", method, version.major, version.minor, len(c.interim), c.status)
				}
			}
		})
	}
}
