package node

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/wherry/wherry/feed"
)

// The rest of an image is asked for where its beginning is here, and all of it where control has another.
func TestTheRestOfAnImage(t *testing.T) {
	image := []byte("an image")
	h := feed.HashOf(image)
	tag := strconv.Quote(h.String())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/"+h.String() {
			http.Error(w, "no control node has it", http.StatusNotFound)
			return
		}
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(image))
	}))
	defer server.Close()
	n := &Node{toControl: &http.Transport{}}
	defer n.toControl.CloseIdleConnections()
	for _, d := range []struct {
		from, at  int64
		tag, want string
	}{
		{0, 0, tag, "an image"},
		{3, 3, tag, "image"},
		{8, 8, tag, ""},
		{3, 0, `"another"`, "an image"},
	} {
		tag = d.tag
		o, err := n.askImage(n.toControl, server.URL+"/")(t.Context(), h, d.from)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(o)
		if _ = o.Close(); err != nil || o.At != d.at || o.Size != int64(len(image)) || string(got) != d.want {
			t.Errorf("from %d: %q from %d of %d, %v; want %q from %d", d.from, got, o.At, o.Size, err, d.want, d.at)
		}
	}
	if _, err := n.askImage(n.toControl, server.URL+"/other/")(t.Context(), h, 0); err == nil || err.Error() != "no control node has it (404)" {
		t.Errorf("what nobody has: %v", err)
	}
}
