package testnet

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/internal/simnet"
)

// loadPage loads a page as a browser does, with its objects over at most six connections, and returns how long that took.
func loadPage(t *testing.T, c *http.Client, path string) time.Duration {
	t.Helper()
	began := time.Now()
	_, page := get(t, c, "http://shop.test"+path)
	var objects sync.WaitGroup
	places := make(chan struct{}, 6)
	for _, part := range strings.Split(page, `src="`)[1:] {
		ref, _, _ := strings.Cut(part, `"`)
		objects.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			resp, err := c.Get("http://shop.test" + ref)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != 20_000 {
				t.Errorf("%s: %d bytes, %v", ref, n, err)
			}
		})
	}
	objects.Wait()
	return time.Since(began)
}

// pageOrigin has pages that can't be cached with objects that can. What is asked for is counted, and whether it was asked for ahead.
func pageOrigin(asked *sync.Map) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := asked.LoadOrStore(r.URL.Path+" "+r.Header.Get("Sec-Purpose"), new(int))
		*n.(*int)++
		if r.URL.Path != "/page/1" {
			w.Header().Set("Cache-Control", "max-age=60")
			_, _ = io.WriteString(w, strings.Repeat("x", 20_000))
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		for i := range 24 {
			fmt.Fprintf(w, `<img src="%s/%d.png"><img src='http://other.test/no.png'>`, r.URL.Path, i)
			if i == 11 {
				w.(http.Flusher).Flush()
				time.Sleep(80 * time.Millisecond) // it is made as it goes
			}
		}
	})
}

// A page far from its origin is there sooner where its objects are fetched ahead, each once.
func TestPrefetch(t *testing.T) {
	took := map[bool]time.Duration{}
	for _, on := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var asked sync.Map
			yaml := twoClusters + fmt.Sprintf("    rules: [{name: pages, match: {paths: [\"/page/1\"]}, cache: {prefetch: %v}}]\n", on)
			n := Start(t, yaml, map[string]http.Handler{"shop-origin": pageOrigin(&asked)})
			n.Sim.SetLink(n.Host("lisbon-1"), n.Host("shop-origin"), simnet.Link{Latency: 50 * time.Millisecond, RateBytesPerSecond: 100e6 / 8})
			c := n.Client(n.ClientHost("client", "198.51.100.7"), "lisbon-1")
			took[on] = loadPage(t, c, "/page/1")
			early := 0
			asked.Range(func(what, times any) bool {
				if *times.(*int) != 1 {
					t.Errorf("the origin was asked %d times for %s", *times.(*int), what)
				}
				if strings.HasSuffix(what.(string), " prefetch") {
					early++
				}
				return true
			})
			if on && early < 6 || !on && early > 0 {
				t.Errorf("prefetch %v: %d objects were asked for ahead", on, early)
			}
		})
	}
	t.Logf("24 objects of 20 kB, origin at 100 ms, client at 2 ms: %v, and with prefetch %v", took[false], took[true])
	if took[true] > took[false]*3/4 {
		t.Errorf("%v, and with prefetch %v", took[false], took[true])
	}
}
