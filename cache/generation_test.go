package cache

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/cache/field"
	"github.com/wherry/wherry/cache/purges"
	"github.com/wherry/wherry/cache/store"
)

// scopes are purges that are about /a of the harness's site, if that has the tag t.
func scopes() map[string]Purge {
	keys := []store.Key{"shop https://shop.test/a"} // the other scheme: purges are of both
	return map[string]Purge{
		"key":    {Scope: purges.Keys, Keys: append(keys, "shop http://shop.test/a")},
		"prefix": {Scope: purges.Prefix, Keys: keys},
		"path":   {Scope: purges.Path, Keys: keys},
		"tag":    {Scope: purges.Tag, Tag: "t", Site: "shop"},
		"site":   {Scope: purges.Site, Site: "shop"},
		"all":    {Scope: purges.All},
	}
}

// eachPurge runs test for purges of each scope, hard and soft, of the feed and of this node alone.
func eachPurge(t *testing.T, test func(t *testing.T, p Purge)) {
	for name, p := range scopes() {
		for _, soft := range []bool{false, true} {
			for _, seq := range []uint64{0, 7} {
				p.Soft, p.Seq = soft, seq
				t.Run(fmt.Sprintf("%s/soft=%t/seq=%d", name, soft, seq), func(t *testing.T) { test(t, p) })
			}
		}
	}
}

var tagged = []string{"Cache-Control", "max-age=600, stale-if-error=600", "Etag", `"1"`, "Cache-Tag", "s, t", "Content-Type", "text/plain"}

// TestPurgeInEachPhase purges before a fetch, while its header section is awaited, in its body, and after it.
func TestPurgeInEachPhase(t *testing.T) {
	for _, phase := range []string{"before", "header", "body", "after"} {
		t.Run(phase, func(t *testing.T) {
			eachPurge(t, func(t *testing.T, p Purge) {
				var header, body chan struct{}
				first := func(w http.ResponseWriter, _ *http.Request) {
					<-header
					setFields(w.Header(), append(tagged, "Content-Length", "3"))
					w.WriteHeader(200)
					<-body
					_, _ = w.Write([]byte("old"))
				}
				fresh := func(w http.ResponseWriter, r *http.Request) { answer(w, 200, "new", tagged...) }
				bubble(t, script(first, fresh), func(w *world) {
					header, body = make(chan struct{}), make(chan struct{})
					if phase == "before" {
						w.cache.Invalidate(p)
					}
					one := w.begin("/a")
					two := w.begin("/a") // waits with it
					if phase == "header" {
						w.cache.Invalidate(p)
					}
					close(header)
					synctest.Wait()
					if phase == "body" {
						w.cache.Invalidate(p)
					}
					var late *client
					if phase == "header" || phase == "body" {
						late = w.begin("/a") // must not get what was asked for before
					}
					close(body)
					w.expect(one.wait(), Miss, 200, "old")
					two.wait()
					if late != nil && late.wait().got() != "new" {
						t.Errorf("who came after the purge got %q: %s", late.got(), late.outcome.Detail)
					}
					if phase == "header" && two.got() != "new" || phase != "header" && two.got() != "old" {
						t.Errorf("who waited got %q", two.got())
					}
					if phase == "after" {
						w.cache.Invalidate(p)
					}
					last := w.get("/a")
					if want := map[bool]string{true: "old", false: "new"}[phase == "before"]; last.got() != want {
						t.Errorf("then came %q (%s), want %q", last.got(), last.outcome.Detail, want)
					}
					w.expect(w.get("/a"), Hit, 200, last.got())
					if seen := w.up.seen(); phase == "before" && seen != 1 || phase != "before" && seen != 2 {
						t.Errorf("the upstream got %d requests: who has to ask again doesn't do it together", seen)
					}
				})
			})
		})
	}
}

// TestPurgeDuringValidation: a 304 to a request from before a hard purge renews nothing, and to one from before a soft purge nothing that
// would be fresh after it.
func TestPurgeDuringValidation(t *testing.T) {
	eachPurge(t, func(t *testing.T, p Purge) {
		var gate chan struct{}
		validated := func(w http.ResponseWriter, _ *http.Request) {
			<-gate
			answer(w, 304, "", tagged...)
		}
		bubble(t, script(always(200, "x", tagged...), validated, func(w http.ResponseWriter, r *http.Request) {
			if (r.Header.Get("If-None-Match") != "") != p.Soft {
				t.Errorf("conditional: %t", !p.Soft)
			}
			answer(w, 200, "new", tagged...)
		}), func(w *world) {
			gate = make(chan struct{})
			w.get("/a")
			time.Sleep(11 * time.Minute)
			before := w.begin("/a")
			w.cache.Invalidate(p)
			close(gate)
			w.expect(before.wait(), Revalidated, 200, "x")
			w.expect(w.get("/a"), Miss, 200, "new")
		})
	})
}

// TestPurgedAndTheOriginFails: what was purged softly may be sent if the origin fails, as what is stale; what was purged hard is gone.
func TestPurgedAndTheOriginFails(t *testing.T) {
	for name, failure := range map[string]http.HandlerFunc{"refused": refused, "503": always(503, "busy")} {
		t.Run(name, func(t *testing.T) {
			eachPurge(t, func(t *testing.T, p Purge) {
				bubble(t, script(always(200, "x", tagged...), failure), func(w *world) {
					w.get("/a")
					time.Sleep(time.Minute)
					w.cache.Invalidate(p)
					if _, ok := w.cache.LookupHit("shop http://shop.test/a", field.Header{}, &w.policy, time.Now()); ok {
						t.Error("LookupHit finds it")
					}
					got := w.get("/a")
					if p.Soft {
						w.expect(got, Stale, 200, "x")
						if !strings.Contains(got.outcome.CacheStatus, "ttl=0") {
							t.Errorf("%s", got.outcome.CacheStatus)
						}
						time.Sleep(10 * time.Minute) // stale-if-error counts from the purge
						if got = w.get("/a"); got.got() == "x" {
							t.Errorf("%s: %s", got.outcome.Verdict, got.outcome.Detail)
						}
					} else if got.got() == "x" || got.outcome.Verdict == Stale {
						t.Errorf("%s: %s", got.outcome.Verdict, got.outcome.Detail)
					}
					w.expect(w.get("/a", "Cache-Control", "only-if-cached"), Failed, 0, "")
				})
			})
		})
	}
}

// TestSoftPurgeWhileRevalidate: where stale-while-revalidate is allowed, a soft purge costs nobody a wait.
func TestSoftPurgeWhileRevalidate(t *testing.T) {
	bubble(t, counted("Cache-Control", "max-age=600, stale-while-revalidate=60", "Cache-Tag", "t"), func(w *world) {
		w.get("/a")
		w.cache.Invalidate(Purge{Scope: purges.Tag, Tag: "t", Soft: true})
		w.expect(w.get("/a"), Stale, 200, "1")
		w.expect(w.get("/a"), Hit, 200, "2")
		w.cache.Invalidate(Purge{Scope: purges.Tag, Tag: "t", Soft: true})
		time.Sleep(61 * time.Second)
		w.expect(w.get("/a"), Miss, 200, "3")
	})
}

// TestPurgeOneVariant: a purge by a tag that one variant has leaves the others.
func TestPurgeOneVariant(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		answer(w, 200, r.Header.Get("X"), "Cache-Control", "max-age=60", "Vary", "X", "Surrogate-Key", "all "+r.Header.Get("X"))
	}
	bubble(t, handler, func(w *world) {
		w.get("/a", "X", "1")
		w.get("/a", "X", "2")
		w.cache.Invalidate(Purge{Scope: purges.Tag, Tag: "1"})
		w.expect(w.get("/a", "X", "2"), Hit, 200, "2")
		w.expect(w.get("/a", "X", "1"), Miss, 200, "1")
		w.expect(w.get("/a", "X", "1"), Hit, 200, "1")
		w.expect(w.get("/a", "X", "2"), Hit, 200, "2")
		w.cache.Invalidate(Purge{Scope: purges.Tag, Tag: "all", Seq: 3})
		w.get("/b")
		if got := w.get("/a", "X", "2"); got.outcome.Verdict != Miss || w.store.Usage().Responses != 2 {
			t.Errorf("%s, %d responses: what is met isn't removed", got.outcome.Verdict, w.store.Usage().Responses)
		}
	})
}

// TestHardPurgeFreesMemory: by Run for what the feed brings, before it is confirmed for what this node alone knows of.
func TestHardPurgeFreesMemory(t *testing.T) {
	for _, seq := range []uint64{0, 1} {
		for name, p := range scopes() {
			if p.Seq = seq; p.Scope == purges.Tag {
				continue
			}
			bubble(t, always(200, "x", tagged...), func(w *world) {
				w.get("/a")
				if n := w.cache.Invalidate(p); seq == 0 && n != 1 {
					t.Errorf("%s: %d removed", name, n)
				}
				synctest.Wait()
				w.expectEmpty()
			})
		}
	}
}

// TestTooManyTags: what couldn't be purged by each of its tags isn't stored.
func TestTooManyTags(t *testing.T) {
	for _, name := range []string{"Cache-Tag", "Surrogate-Key"} {
		long := strings.Repeat("x", field.TagBytesMax+1)
		bubble(t, always(200, "x", "Cache-Control", "max-age=60", name, long, "Content-Type", "text/plain"), func(w *world) {
			got := w.get("/a")
			if got.outcome.Stored || !strings.Contains(got.outcome.Detail, "not stored: more or longer tags than a stored response may have") {
				t.Errorf("%s: %s", got.outcome.Verdict, got.outcome.Detail)
			}
			if got.sent[name] != nil {
				t.Error("the client gets the tags")
			}
			w.expectEmpty()
		})
	}
}

// TestTagsAreForCaches: clients don't get them, on any way.
func TestTagsAreForCaches(t *testing.T) {
	bubble(t, always(200, "x", append(tagged, "Edge-Cache-Tag", "e", "Surrogate-Key", "s", "Cache-Groups", `"g"`)...), func(w *world) {
		check := func(h http.Header) {
			if h["Cache-Tag"] != nil || h["Surrogate-Key"] != nil || h["Edge-Cache-Tag"] != nil || h["Cache-Groups"] == nil {
				t.Errorf("%v", h)
			}
		}
		check(w.get("/a").sent)
		check(w.get("/a").sent)
		check(w.do(http.MethodPost, "/a").sent)
		w.get("/a")
		a, ok := w.cache.LookupHit("shop http://shop.test/a", field.Header{}, &w.policy, time.Now())
		if head := string(a.AppendHeader(nil)); !ok || strings.Contains(head, "Tag") || strings.Contains(head, "Surrogate") {
			t.Errorf("%t, %q", ok, head)
		}
	})
}

// TestPurgedPost: the response to a POST that came before a purge isn't stored as if it came later.
func TestPurgedPost(t *testing.T) {
	eachPurge(t, func(t *testing.T, p Purge) {
		var gate chan struct{}
		bubble(t, script(func(w http.ResponseWriter, _ *http.Request) {
			<-gate
			answer(w, 200, "posted", append(tagged, "Content-Location", "/a")...)
		}, always(200, "got", tagged...)), func(w *world) {
			gate = make(chan struct{})
			post := w.start(newClient(), request(http.MethodPost, "/a"))
			synctest.Wait()
			w.cache.Invalidate(p)
			close(gate)
			w.expect(post.wait(), Pass, 200, "posted")
			w.expect(w.get("/a"), Miss, 200, "got")
		})
	})
}
