package cache

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/trace"
)

// arrived is a body that came with its header section.
type arrived struct{ *strings.Reader }

func (a arrived) Buffered() int { return a.Len() }
func (arrived) Close() error    { return nil }

// flushes is a client that counts how often the response was sent before its end.
type flushes struct {
	*httptest.ResponseRecorder
	n int
}

func (f *flushes) Flush() { f.n++ }

// A response that came in one piece goes out in one, and is stored by then.
func TestSmallMissIsSentInOnePiece(t *testing.T) {
	for _, length := range []int{0, 5} {
		synctest.Test(t, func(t *testing.T) {
			memory, err := store.NewMemory(1<<20, 1<<16)
			if err != nil {
				t.Fatal(err)
			}
			c := New(Options{Name: "n", Store: memory, Metrics: NewMetrics(prometheus.NewRegistry())})
			body := strings.Repeat("x", length)
			p := &Policy{Keys: new(store.KeyPolicy), Scheme: "http", Host: "shop.test", Upstream: roundTrip(func(*http.Request) (*http.Response, error) {
				resp := &http.Response{
					StatusCode: 200, ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(length), Body: arrived{strings.NewReader(body)},
					Header: http.Header{"Cache-Control": {"max-age=60"}, "Content-Type": {"text/plain"}},
				}
				if length == 0 {
					resp.Body = http.NoBody
				}
				return resp, nil
			})}
			w := &flushes{ResponseRecorder: httptest.NewRecorder()}
			out := c.Serve(w, httptest.NewRequest(http.MethodGet, "http://shop.test/", nil), p)
			if !out.Stored || out.Verdict != Miss || w.Body.String() != body || w.n != 0 {
				t.Errorf("%+v, %q, flushed %d times", out, w.Body, w.n)
			}
			w = &flushes{ResponseRecorder: httptest.NewRecorder()}
			if out = c.Serve(w, httptest.NewRequest(http.MethodGet, "http://shop.test/", nil), p); out.Verdict != Hit || w.Body.String() != body {
				t.Errorf("the next one: %+v, %q", out, w.Body)
			}
			synctest.Wait()
		})
	}
}

// A fetch's context is one for all who know contexts.
func TestFetchContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		record := trace.New("id")
		c := &fetchContext{t: record, interim: &interim{}}
		child, stopChild := context.WithTimeout(c, time.Hour)
		defer stopChild()
		if trace.From(c) != record || trace.From(child) != record || c.Err() != nil {
			t.Error("no trace")
		}
		var called, kept int
		stopped := context.AfterFunc(c, func() { t.Error("called though stopped") })
		stop := c.AfterFunc(func() { called++ })
		c.AfterFunc(func() { kept++ })
		if !stopped() || stopped() {
			t.Error("it stops once")
		}
		c.cancel()
		c.cancel()
		synctest.Wait()
		if called != 1 || kept != 1 || stop() {
			t.Errorf("called %d and %d times", called, kept)
		}
		<-c.Done()
		<-child.Done()
		if !errors.Is(child.Err(), context.Canceled) || c.Err() != context.Canceled {
			t.Errorf("%v, %v", child.Err(), c.Err())
		}
		c.AfterFunc(func() { called++ })
		if synctest.Wait(); called != 2 {
			t.Error("not called after the end")
		}
	})
}
