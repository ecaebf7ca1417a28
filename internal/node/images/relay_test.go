package images

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

func newImage(bytes int) ([]byte, feed.Hash) {
	image := make([]byte, bytes)
	r := rand.NewChaCha8([32]byte{byte(bytes)})
	_, _ = r.Read(image)
	return image, feed.HashOf(image)
}

// from asks what serves at an address.
func from(name, url string) Source {
	return Source{Name: name, Kind: name, Patience: time.Minute, Open: func(ctx context.Context, h feed.Hash, from int64) (Opened, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/"+h.String(), nil)
		if err != nil {
			return Opened{}, err
		}
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
		req.Header.Set("If-Range", `"`+h.String()+`"`)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return Opened{}, err
		}
		if resp.StatusCode == http.StatusPartialContent {
			return Opened{resp.Body, from, from + resp.ContentLength}, nil
		}
		if resp.StatusCode != http.StatusOK {
			return Opened{}, fmt.Errorf("%s (%w)", resp.Status, resp.Body.Close())
		}
		return Opened{resp.Body, 0, resp.ContentLength}, nil
	}}
}

// counted counts the bytes that a source gives, and how often it is asked.
func counted(s Source, bytes, asked *atomic.Int64) Source {
	open := s.Open
	s.Open = func(ctx context.Context, h feed.Hash, from int64) (Opened, error) {
		asked.Add(1)
		o, err := open(ctx, h, from)
		if err == nil {
			o.ReadCloser = countingReader{o.ReadCloser, bytes}
		}
		return o, err
	}
	return s
}

type countingReader struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c countingReader) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// serve lets others ask for images; each asks as another node.
func serve(t *testing.T, s *Images) string {
	t.Helper()
	var nodes atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var h feed.Hash
		if err := h.UnmarshalText([]byte(r.URL.Path[1:])); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.Serve(w, r, config.NodeID(fmt.Sprint(nodes.Add(1))), h)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func run(t *testing.T, all ...*Images) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, s := range all {
		running.Go(func() { _ = s.Run(ctx) })
	}
	t.Cleanup(func() { cancel(); running.Wait() })
}

// until waits until a node has an image.
func until(t *testing.T, s *Images, h feed.Hash) {
	t.Helper()
	for s.Have([]feed.Hash{h}) != nil {
		if t.Context().Err() != nil {
			t.Fatal("it doesn't come")
		}
		time.Sleep(time.Millisecond)
	}
}

// Twenty nodes below a relay, that is below another one, ask for an image that none of them has: the top gives it once.
func TestOneCopyComesDown(t *testing.T) {
	image, h := newImage(3 << 20)
	var sent, asked atomic.Int64
	top := counted(Source{Name: "control", Kind: "control", Patience: time.Minute, Open: (&shelf{has: map[feed.Hash][]byte{h: image}}).open}, &sent, &asked)
	upper := openAt(t, top)
	lower := openAt(t, from("upper", serve(t, upper)), top)
	all := []*Images{upper, lower}
	at := serve(t, lower)
	for range 20 {
		all = append(all, openAt(t, from("lower", at), top))
	}
	run(t, all...)
	for _, s := range all[2:] {
		_ = s.Have([]feed.Hash{h})
	}
	for _, s := range all {
		until(t, s, h)
		if data, err := os.ReadFile(s.path(h)); err != nil || !bytes.Equal(data, image) {
			t.Errorf("%d bytes, %v", len(data), err)
		}
	}
	if asked.Load() != 1 || sent.Load() != int64(len(image)) {
		t.Errorf("the top was asked %d times, and sent %d bytes for 22 nodes; want once, %d bytes", asked.Load(), sent.Load(), len(image))
	}
	t.Logf("%d bytes for %d nodes", sent.Load(), len(all))
}

// A relay that lies, breaks off, is silent, has nothing, or says another length is left for control, and what comes is right all the same.
func TestAFaultyRelay(t *testing.T) {
	image, h := newImage(1 << 20)
	wrong := bytes.Clone(image)
	wrong[700_000]++
	for name, relay := range map[string]http.HandlerFunc{
		"wrong": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(wrong) },
		"wrong and cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(wrong)))
			_, _ = w.Write(wrong[:900_000])
			panic(http.ErrAbortHandler)
		},
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(image)))
			_, _ = w.Write(image[:900_000])
			panic(http.ErrAbortHandler)
		},
		"missing": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no settings name this image", http.StatusNotFound)
		},
		"silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"slow": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(image)))
			_, _ = w.Write(image[:step])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(int64(1)<<40))
			_, _ = w.Write(image)
		},
		"short": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(image[:step]) },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(relay)
			t.Cleanup(server.Close)
			faulty := from("relay", server.URL)
			faulty.Patience = 50 * time.Millisecond
			s := openAt(t, faulty, Source{Name: "control", Kind: "control", Patience: time.Minute, Open: (&shelf{has: map[feed.Hash][]byte{h: image}}).open})
			_ = s.Have([]feed.Hash{h})
			s.fetchAll(t.Context())
			if err := s.Have([]feed.Hash{h}); err != nil {
				t.Error(err)
			}
		})
	}
}

// Who is given what a relay hasn't verified yet never gets all of it, if it is wrong.
func TestNothingWrongIsPassedOnAsWhole(t *testing.T) {
	image, h := newImage(1 << 20)
	wrong := bytes.Clone(image)
	wrong[10]++
	relay := openAt(t, Source{Name: "control", Kind: "control", Patience: time.Minute, Open: (&shelf{has: map[feed.Hash][]byte{h: wrong}}).open})
	at := serve(t, relay)
	run(t, relay)
	o, err := from("relay", at).Open(t.Context(), h, 0)
	if err != nil {
		return // it was noticed before there was anything to send
	}
	defer o.Close()
	if data, err := io.ReadAll(o); err == nil {
		t.Errorf("%d wrong bytes were passed on as whole", len(data))
	}
}

// What has rotted on a relay's disk is not passed on, and is fetched anew.
func TestARelayWithARottenImage(t *testing.T) {
	image, h := newImage(1 << 20)
	relay := open(t, &shelf{has: map[feed.Hash][]byte{h: image}})
	at := serve(t, relay)
	run(t, relay)
	until(t, relay, h)
	rotten := bytes.Clone(image)
	rotten[10]++
	if err := os.WriteFile(relay.path(h), rotten, 0o600); err != nil {
		t.Fatal(err)
	}
	get := func() ([]byte, error) {
		o, err := from("relay", at).Open(t.Context(), h, 0)
		if err != nil {
			return nil, err
		}
		defer o.Close()
		return io.ReadAll(o)
	}
	if data, err := get(); err == nil {
		t.Errorf("%d rotten bytes were passed on as whole", len(data))
	}
	if data, err := get(); err != nil || !bytes.Equal(data, image) {
		t.Errorf("it isn't fetched anew: %d bytes, %v", len(data), err)
	}
}

// The rest of an image is sent to who has its beginning; one node doesn't get more than two at once.
func TestTheRest(t *testing.T) {
	image, h := newImage(1 << 20)
	relay := open(t, &shelf{has: map[feed.Hash][]byte{h: image}})
	at := serve(t, relay)
	run(t, relay)
	o, err := from("relay", at).Open(t.Context(), h, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if rest, err := io.ReadAll(o); err != nil || o.At != 1_000_000 || !bytes.Equal(rest, image[1_000_000:]) {
		t.Errorf("%d bytes from %d, %v", len(rest), o.At, err)
	}
	for range eachMax {
		if !relay.admit("edge-1") {
			t.Fatal("a node isn't admitted")
		}
	}
	if relay.admit("edge-1") || !relay.admit("edge-2") {
		t.Error("a node that asks for everything at once keeps others out, or isn't kept out")
	}
}

// A relay's disk has what settings name and the last few others, however much those below ask for.
func TestARelaysDiskIsBounded(t *testing.T) {
	s := &shelf{has: map[feed.Hash][]byte{}}
	relay := open(t, s)
	named := map[feed.Hash]bool{}
	relay.o.Relay, relay.o.Named = true, func() map[feed.Hash]bool { return named }
	for n := range 3 * FormerMax {
		image := fmt.Appendf(nil, "image %d", n)
		h := feed.HashOf(image)
		s.has[h] = image
		named[h] = n == 0
		_ = relay.Have([]feed.Hash{h})
		relay.fetchAll(t.Context())
	}
	if files, err := os.ReadDir(relay.o.Dir); err != nil || len(files) != FormerMax+1 {
		t.Errorf("%d files, %v; want %d", len(files), err, FormerMax+1)
	}
	if !relay.has(feed.HashOf([]byte("image 0"))) {
		t.Error("what settings name is gone")
	}
}
