package cache

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/wherry/wherry/cache/store"
)

func TestRanges(t *testing.T) {
	const body = "0123456789"
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Header["If-Range"] != nil {
			t.Errorf("asked with the client's condition: %v", r.Header)
		}
		answer(w, 200, body, "Cache-Control", "max-age=60", "Etag", `"a"`, "Last-Modified", httpDate(-time.Hour),
			"Content-Type", "text/plain",
			"Content-Encoding", "identity")
	}
	for _, stored := range []bool{true, false} {
		for _, c := range []struct {
			name         string
			fields       []string
			status       int
			body         string
			contentRange string
		}{
			{"RFC 9110 §14.1.2: first and last", []string{"Range", "bytes=2-4"}, 206, "234", "bytes 2-4/10"},
			{"RFC 9110 §14.1.2: to the end", []string{"Range", "bytes=8-"}, 206, "89", "bytes 8-9/10"},
			{"RFC 9110 §14.1.2: suffix", []string{"Range", "bytes=-3"}, 206, "789", "bytes 7-9/10"},
			{"RFC 9110 §14.1.2: all of it", []string{"Range", "bytes=0-"}, 206, body, "bytes 0-9/10"},
			{"RFC 9110 §15.5.17: unsatisfiable", []string{"Range", "bytes=10-"}, 416, "", "bytes */10"},
			{"RFC 9110 §14.2: another unit is ignored", []string{"Range", "rows=0-1"}, 200, body, ""},
			{"RFC 9110 §13.1.5: If-Range holds", []string{"Range", "bytes=2-4", "If-Range", `"a"`}, 206, "234", "bytes 2-4/10"},
			{"RFC 9110 §13.1.5: If-Range doesn't", []string{"Range", "bytes=2-4", "If-Range", `"b"`}, 200, body, ""},
			{"RFC 9110 §13.1.5: nor for what is unsatisfiable", []string{"Range", "bytes=10-", "If-Range", `"b"`}, 200, body, ""},
			{"RFC 9110 §13.2.2: conditions first", []string{"Range", "bytes=2-4", "If-None-Match", `"a"`}, 304, "", ""},
			{
				"RFC 9110 §13.2.2: then the range",
				[]string{"Range", "bytes=2-4", "If-None-Match", `"b"`},
				206, "234", "bytes 2-4/10",
			},
		} {
			name, verdict := c.name+", fetched", Miss
			if stored {
				name, verdict = c.name+", stored", Hit
			}
			t.Run(name, func(t *testing.T) {
				bubble(t, handler, func(w *world) {
					if stored {
						w.get("/")
					}
					got := w.get("/", c.fields...)
					w.expect(got, verdict, c.status, "")
					if got.got() != c.body || got.sent.Get("Content-Range") != c.contentRange {
						t.Errorf("%q with Content-Range %q; want %q, %q",
							got.got(), got.sent.Get("Content-Range"), c.body, c.contentRange)
					}
					checkContentFields(t, got)
					w.expect(w.get("/"), Hit, 200, body) // the whole is stored, whatever was asked for
					w.expectSeen(1)
				})
			})
		}
	}
}

// checkContentFields checks that what describes the content fits the content.
func checkContentFields(t *testing.T, c *client) {
	t.Helper()
	length, kind := c.sent.Get("Content-Length"), c.sent.Get("Content-Type")
	switch c.status {
	case 304: // RFC 9110 §15.4.5
		if length != "" || kind != "" || c.sent.Get("Etag") == "" || c.sent.Get("Date") == "" || c.sent.Get("Cache-Control") == "" {
			t.Errorf("304 with %v", c.sent)
		}
	case 416:
		if length != "0" || kind != "" || c.sent.Get("Content-Encoding") != "" {
			t.Errorf("416 with %v", c.sent)
		}
	default:
		if length != strings.TrimSpace(length) || length == "" || kind != "text/plain" {
			t.Errorf("%d with %v", c.status, c.sent)
		}
	}
}

// TestRangeOfUnknownLength has no Content-Range to give while the body comes, but has when it is stored.
func TestRangeOfUnknownLength(t *testing.T) {
	handler := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "0123456789")
	}
	bubble(t, handler, func(w *world) {
		w.expect(w.get("/", "Range", "bytes=2-4"), Miss, 200, "0123456789")
		w.expect(w.get("/", "Range", "bytes=2-4"), Hit, 206, "234")
	})
}

// TestRangeArrives sends a part as soon as it is there, before the rest has come.
func TestRangeArrives(t *testing.T) {
	var rest chan struct{}
	handler := func(w http.ResponseWriter, _ *http.Request) {
		setFields(w.Header(), []string{"Cache-Control", "max-age=60", "Content-Length", "10"})
		_, _ = io.WriteString(w, "01234")
		<-rest
		_, _ = io.WriteString(w, "56789")
	}
	bubble(t, handler, func(w *world) {
		rest = make(chan struct{})
		first := w.begin("/", "Range", "bytes=1-3")
		w.expect(first.wait(), Miss, 206, "123")
		second := w.begin("/", "Range", "bytes=4-6")
		if second.got() != "4" {
			t.Errorf("%q has come of what has arrived", second.got())
		}
		close(rest)
		w.expect(second.wait(), Collapsed, 206, "456")
		w.expect(w.get("/"), Hit, 200, "0123456789")
	})
}

// TestRangeOfWhatCannotBeStored asks again for what the client wants.
func TestRangeOfWhatCannotBeStored(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") == "bytes=2-4" && r.Header.Get("If-Range") == `"a"` {
			answer(w, 206, "234", "Content-Range", "bytes 2-4/10")
			return
		}
		answer(w, 200, "0123456789")
	}
	bubble(t, handler, func(w *world) {
		w.expect(w.get("/", "Range", "bytes=2-4", "If-Range", `"a"`), Miss, 206, "234")
		w.expectSeen(2)
		w.expect(w.get("/", "Range", "bytes=2-4", "If-Range", `"a"`), Miss, 206, "234")
		w.expectSeen(3) // the next one knows
		w.expectEmpty()
	})
}

// TestPreconditionsOfTheOrigin is about the two that a cache can't evaluate: they reach the origin, with the range beside them,
// and what is stored has no part in it (RFC 9110 §13.1.1, RFC 9111 §4.3.2).
func TestPreconditionsOfTheOrigin(t *testing.T) {
	for _, name := range []string{"If-Match", "If-Unmodified-Since"} {
		t.Run(name, func(t *testing.T) {
			handler := func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get(name) != "" && r.Header.Get("Range") != "" {
					answer(w, 412, "")
					return
				}
				answer(w, 200, "content", "Cache-Control", "max-age=60")
			}
			bubble(t, handler, func(w *world) {
				w.get("/")
				w.expect(w.get("/", name, `"x"`, "Range", "bytes=1-"), Pass, 412, "")
				w.expect(w.get("/"), Hit, 200, "content")
			})
		})
	}
}

// TestAnswersToConditionsAreNotStored is about the requests whose own conditions and range the upstream sees.
func TestAnswersToConditionsAreNotStored(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields []string
		status int
	}{
		{"RFC 9110 §15.5.17", []string{"Range", "bytes=99-"}, 416},
		{"RFC 9110 §15.3.7", []string{"Range", "bytes=0-0"}, 206},
		{"RFC 9110 §15.4.5", []string{"If-None-Match", `"a"`}, 304},
	} {
		t.Run(c.name, func(t *testing.T) {
			storable := false
			handler := func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get(c.fields[0]) != "" {
					answer(w, c.status, "", "Cache-Control", "max-age=60")
				} else if storable {
					answer(w, 200, "x", "Cache-Control", "max-age=60")
				} else {
					answer(w, 200, "x")
				}
			}
			bubble(t, handler, func(w *world) {
				w.get("/") // after this the key is known as one that can't be shared
				w.expect(w.get("/", c.fields...), Miss, c.status, "")
				storable = true
				w.expect(w.get("/"), Miss, 200, "x")
				w.expect(w.get("/"), Hit, 200, "x")
			})
		})
	}
}

func TestConditionsOnStored(t *testing.T) {
	for _, c := range []struct {
		name   string
		fields []string
		status int
	}{
		{"RFC 9110 §13.1.2", []string{"If-None-Match", `"x", "a"`}, 304},
		{"RFC 9110 §13.1.2: *", []string{"If-None-Match", `*`}, 304},
		{"RFC 9110 §13.1.2: another", []string{"If-None-Match", `"b"`}, 200},
		{"RFC 9110 §13.1.3", []string{"If-Modified-Since", "Fri, 31 Dec 1999 23:00:00 GMT"}, 304},
		{"RFC 9110 §13.1.3: changed", []string{"If-Modified-Since", "Fri, 31 Dec 1999 22:59:59 GMT"}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			handler := func(w http.ResponseWriter, r *http.Request) {
				answer(w, 200, "x", "Cache-Control", "max-age=60", "Etag", `"a"`, "Last-Modified", httpDate(-time.Hour),
					"Content-Type", "text/plain")
			}
			bubble(t, handler, func(w *world) {
				miss := w.get("/", c.fields...)
				w.expect(miss, Miss, c.status, "")
				checkContentFields(t, miss)
				if w.up.request(0).Header[c.fields[0]] != nil {
					t.Error("the client's condition went to the origin, so the whole can't have been stored")
				}
				hit := w.get("/", c.fields...)
				w.expect(hit, Hit, c.status, "")
				checkContentFields(t, hit)
				w.expect(w.get("/"), Hit, 200, "x")
			})
		})
	}
}

// TestConditionsOnOtherStatuses: they apply to a 200 only (RFC 9110 §13.2.1).
func TestConditionsOnOtherStatuses(t *testing.T) {
	bubble(t, always(404, "gone", "Cache-Control", "max-age=60", "Etag", `"a"`), func(w *world) {
		w.expect(w.get("/", "If-None-Match", `"a"`), Miss, 404, "gone")
		w.expect(w.get("/", "If-None-Match", `"a"`, "Range", "bytes=0-0"), Hit, 404, "gone")
	})
}

// TestConditionsOnUnshared are ours to evaluate where they were kept from the upstream.
func TestConditionsOnUnshared(t *testing.T) {
	bubble(t, always(200, "x", "Cache-Control", "no-store", "Etag", `"a"`), func(w *world) {
		w.expect(w.get("/", "If-None-Match", `"a"`), Miss, 304, "")
	})
}

func TestInterimResponses(t *testing.T) {
	handler := func(w http.ResponseWriter, _ *http.Request) {
		setFields(w.Header(), []string{"Link", "</a.css>; rel=preload", "Connection", "X-Hop", "X-Hop", "1"})
		w.WriteHeader(http.StatusEarlyHints)
		clear(w.Header())
		answer(w, 200, "x", "Cache-Control", "max-age=60", "X-Final", "1")
	}
	bubble(t, handler, func(w *world) {
		for _, method := range []string{http.MethodGet, http.MethodPost} { // fetched and passed
			c := newClient()
			c.header.Set("X-Edge", "1")
			w.start(c, request(method, "/")).wait()
			if len(c.interim) != 1 || c.interim[0].Get(":status") != "103" || c.interim[0].Get("Link") == "" {
				t.Fatalf("%s: interim responses %v", method, c.interim)
			}
			if c.interim[0]["X-Final"] != nil || c.interim[0]["X-Hop"] != nil || c.interim[0]["X-Edge"] != nil {
				t.Errorf("%s: 103 with %v", method, c.interim[0])
			}
			if c.sent["Link"] != nil || c.sent.Get("X-Final") != "1" || c.sent.Get("X-Edge") != "1" {
				t.Errorf("%s: final response with %v", method, c.sent)
			}
		}
	})
}

// TestInterimAfterTheClientLeft: the ResponseWriter is not ours any more then.
func TestInterimAfterTheClientLeft(t *testing.T) {
	var early chan struct{}
	handler := func(w http.ResponseWriter, _ *http.Request) {
		<-early
		w.WriteHeader(http.StatusEarlyHints)
		answer(w, 200, "x", "Cache-Control", "max-age=60")
	}
	bubble(t, handler, func(w *world) {
		early = make(chan struct{})
		leader := w.begin("/")
		follower := w.begin("/") // so that the fetch goes on
		leader.cancel()
		leader.wait()
		leader.header = nil // a write to it panics
		close(early)
		w.expect(follower.wait(), Collapsed, 200, "x")
		if len(leader.interim) != 0 {
			t.Errorf("interim responses %v after Serve", leader.interim)
		}
	})
}

func TestTrailers(t *testing.T) {
	handler := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header()["Trailer"] = []string{"X-Sum", "X-Never"}
		_, _ = io.WriteString(w, "body")
		w.Header().Set(http.TrailerPrefix+"X-Sum", "42")
	}
	bubble(t, handler, func(w *world) {
		for _, verdict := range []Verdict{Miss, Hit} {
			c := w.get("/")
			w.expect(c, verdict, 200, "body")
			if c.trailer("X-Sum") != "42" || !slices.Equal(c.sent["Trailer"], []string{"X-Never", "X-Sum"}) || c.sent["Content-Length"] != nil {
				t.Errorf("%s: trailer %q, announced %q, Content-Length %q",
					verdict, c.trailer("X-Sum"), c.sent["Trailer"], c.sent["Content-Length"])
			}
		}
		part := w.get("/", "Range", "bytes=0-1")
		w.expect(part, Hit, 206, "bo")
		if part.sent["Trailer"] != nil || part.trailer("X-Sum") != "" {
			t.Error("a part has the trailer of the whole") // RFC 9110 §6.5: it describes the content
		}
		passed := w.do(http.MethodPost, "/")
		if passed.trailer("X-Sum") != "42" {
			t.Errorf("passed: trailer %q", passed.trailer("X-Sum"))
		}
	})
}

func TestBodiesArePassedOn(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		answer(w, 201, r.Method+" "+string(body), "X", "1")
	}
	bubble(t, handler, func(w *world) {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
			r := request(method, "/")
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("sent")), 4
			c := w.start(newClient(), r).wait()
			w.expect(c, Pass, 201, method+" sent")
			if c.sent.Get("X") != "1" || c.sent.Get("Via") != "1.1 lisbon-1" || c.sent.Get("Date") == "" {
				t.Errorf("%s: %v", method, c.sent)
			}
			if !strings.Contains(c.sent.Get("Cache-Status"), "fwd=method") {
				t.Errorf("%s: Cache-Status %q", method, c.sent.Get("Cache-Status"))
			}
		}
	})
}

// TestPassStreams sends each piece of a body without a length when it comes.
func TestPassStreams(t *testing.T) {
	var rest chan struct{}
	handler := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first")
		<-rest
		_, _ = io.WriteString(w, "second")
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		bubble(t, handler, func(w *world) {
			rest = make(chan struct{})
			c := w.start(newClient(), request(method, "/"))
			synctest.Wait()
			if c.got() != "first" || c.flushed != len("first") {
				t.Errorf("%s: %q written, %d bytes flushed", method, c.got(), c.flushed)
			}
			close(rest)
			if c.wait().got() != "firstsecond" {
				t.Errorf("%s: %q", method, c.got())
			}
		})
	}
}

// TestHeadOfALateBody sends the header section of a body without a length that doesn't begin, as that of server-sent events may.
func TestHeadOfALateBody(t *testing.T) {
	var rest chan struct{}
	handler := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		<-rest
		_, _ = io.WriteString(w, "data: 1\n\n")
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		bubble(t, handler, func(w *world) {
			rest = make(chan struct{})
			c := w.start(newClient(), request(method, "/"))
			time.Sleep(2 * headPatience)
			synctest.Wait()
			c.mu.Lock()
			if c.status != http.StatusOK || c.flushes != 1 {
				t.Errorf("%s: status %d, %d flushes before the body", method, c.status, c.flushes)
			}
			c.mu.Unlock()
			close(rest)
			if c.wait().got() != "data: 1\n\n" || c.flushes != 2 {
				t.Errorf("%s: %q, %d flushes", method, c.got(), c.flushes)
			}
		})
	}
}

// TestOverTheWire runs a real client, a real server and a real origin: trailers, 103, ranges and lengths as the wire has them.
func TestOverTheWire(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
	}))
	defer origin.Close()
	memory, err := store.NewMemory(1<<20, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	c := New(Options{Name: "lisbon-1", Store: memory, Metrics: NewMetrics(prometheus.NewRegistry())})
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error)
	go func() { ran <- c.Run(ctx) }()
	host := strings.TrimPrefix(origin.URL, "http://")
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Host = host
		c.Serve(w, r, &Policy{Keys: &store.KeyPolicy{}, Scheme: "http", Host: host, Upstream: transport})
	}))
	for i, verdict := range []string{"fwd=uri-miss", "hit", "hit"} {
		hints := 0
		r, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(int, textproto.MIMEHeader) error { hints++; return nil },
		}), http.MethodGet, edge.URL+"/", nil)
		resp, err := edge.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || string(body) != "body" || resp.Trailer.Get("X-Sum") != "42" || !strings.Contains(resp.Header.Get("Cache-Status"), verdict) {
			t.Errorf("%d: %q, %v, trailer %v, %v", i, body, err, resp.Trailer, resp.Header)
		}
		if want := len(verdict) / len("fwd=uri-miss"); hints != want {
			t.Errorf("%d: %d interim responses, want %d", i, hints, want)
		}
		c.fills.Wait()
	}
	edge.Close()
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}
