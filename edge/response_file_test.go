package edge

import (
	"fmt"
	"net/http"
	"runtime"
	"testing"
)

// TestRangesOfFiles: a part of what stands in a file is also sent by the system, where that can be, and is the same in any case.
func TestRangesOfFiles(t *testing.T) {
	const size = 9 << 20
	path := fmt.Sprintf("/%d", size)
	for _, secure := range []bool{false, true} {
		n, store := startFiles(t, nodeOptions{}, false)
		store.fill(n, secure, path)
		b, w := store.bodies[0], n.door(secure)
		for _, r := range [][2]int{{0, 99}, {1000, 200_000}, {5, size - 1}} {
			given, written := b.given.Load(), b.written.Load()
			w.send(get(path, fmt.Sprintf("Range: bytes=%d-%d", r[0], r[1])))
			resp, body := w.response(http.MethodGet)
			if resp.StatusCode != 206 || body != content(size)[r[0]:r[1]+1] {
				t.Errorf("secure %t, %v: status %d with %d bytes", secure, r, resp.StatusCode, len(body))
			}
			bySystem := runtime.GOOS == "linux" && !secure && r[1]-r[0] >= 64<<10
			if got := b.given.Load() > given && b.written.Load() == written; got != bySystem {
				t.Errorf("secure %t, %v: by the system %t, want %t", secure, r, got, bySystem)
			}
			if b.held.Load() != 0 {
				t.Errorf("%d files were not released", b.held.Load())
			}
		}
	}
}
