package tier

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/purges"
	"github.com/wherry/wherry/cache/store"
)

// versions is an origin whose answers tell which version of the site they are of. It has tags: the path's directory, and a group if groups says so.
type versions struct {
	now    int
	groups bool
}

func (v *versions) RoundTrip(r *http.Request) (*http.Response, error) {
	body := strconv.Itoa(v.now)
	dir := strings.Split(r.URL.Path, "/")[1]
	resp := &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{
			"Cache-Control": {"max-age=86400"}, "Content-Type": {"text/plain"}, "Etag": {strconv.Quote(body)},
			"Cache-Tag": {"tag-" + dir},
		},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
	if v.groups {
		resp.Header.Set("Cache-Groups", `"group-`+dir+`"`)
	} else {
		resp.Header.Add("Surrogate-Key", "group-"+dir)
	}
	return resp, nil
}

// TestPurgesOverRestarts: whatever happens, nobody gets what was asked for before a purge that is about it: neither from memory nor from
// disk, neither in this process nor in the next one.
func TestPurgesOverRestarts(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			dir, site := t.TempDir(), &versions{now: 1, groups: seed%2 == 0}
			var remembered []cache.Purge
			var seq uint64
			oldest := map[string]int{} // the oldest version that a path may be of
			var paths []string
			for _, d := range []string{"a", "b", "c"} {
				for i := range 4 {
					paths = append(paths, fmt.Sprintf("/%s/%d", d, i))
				}
			}
			begin := func() *node {
				n := startNode(t, dir, time.Now, nil)
				n.upstream = site
				n.cache.Restore(remembered, 0, seq)
				return n
			}
			n := begin()
			for range 150 {
				path := paths[random.IntN(len(paths))]
				switch what := random.IntN(20); {
				case what == 0:
					if random.IntN(2) == 0 {
						n.world.settle()
					}
					n.stop()
					n = begin()
				case what == 1:
					n.world.settle()
					n.world.forget()
				case what < 5:
					seq++
					site.now++
					p, matches := randomPurge(random, path)
					p.Seq, p.Soft = seq, random.IntN(2) == 0
					remembered = append(remembered, p)
					n.cache.Invalidate(p)
					for _, other := range paths {
						if matches(other) {
							oldest[other] = site.now
						}
					}
				default:
					rec, out := n.get(path)
					if got, err := strconv.Atoi(rec.Body.String()); err != nil || got < oldest[path] {
						t.Fatalf("%s: version %q by a %s (%s), purged at %d", path, rec.Body, out.Verdict, out.Detail, oldest[path])
					}
				}
			}
			n.stop()
		})
	}
}

// randomPurge returns one that is about path, and about which others.
func randomPurge(random *rand.Rand, path string) (p cache.Purge, matches func(path string) bool) {
	dir := path[:3]
	ofDir := func(other string) bool { return strings.HasPrefix(other, dir) }
	key := func(path string) []store.Key { return []store.Key{store.Key("shop http://shop.test" + path)} }
	switch random.IntN(6) {
	case 0:
		return cache.Purge{Scope: purges.Keys, Keys: key(path)}, func(other string) bool { return other == path }
	case 1:
		return cache.Purge{Scope: purges.Prefix, Keys: key(dir)}, ofDir
	case 2:
		return cache.Purge{Scope: purges.Tag, Tag: "tag-" + dir[1:2]}, ofDir
	case 3:
		return cache.Purge{Scope: purges.Tag, Tag: "group-" + dir[1:2], Site: "shop"}, ofDir
	case 4:
		return cache.Purge{Scope: purges.Site, Site: "shop"}, func(string) bool { return true }
	}
	return cache.Purge{Scope: purges.All}, func(string) bool { return true }
}

// TestPurgedWhileAway: an edge that was off when the purge passed has it before it serves; without the feed's memory, and for what that has
// forgotten, what it stored is validated.
func TestPurgedWhileAway(t *testing.T) {
	for _, c := range []struct {
		name    string
		purges  []cache.Purge
		floor   uint64
		verdict cache.Verdict
	}{
		{"nothing", nil, 0, cache.Hit},
		{"older than what is stored", []cache.Purge{{Seq: 5, Scope: purges.All}}, 0, cache.Hit},
		{"hard", []cache.Purge{{Seq: 6, Scope: purges.Tag, Tag: "x"}, {Seq: 7, Scope: purges.Tag, Tag: "tag-a"}}, 0, cache.Miss},
		{"of another tag", []cache.Purge{{Seq: 6, Scope: purges.Tag, Tag: "x"}}, 0, cache.Hit},
		{"floor", nil, 6, cache.Miss}, // the origin of this test never says 304
		{"floor below", nil, 5, cache.Hit},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, site := t.TempDir(), &versions{now: 1}
			n := startNode(t, dir, time.Now, nil)
			n.upstream = site
			n.cache.Restore(nil, 0, 5)
			n.get("/a/1")
			n.get("/a/1")
			n.world.settle()
			n.stop()
			n = startNode(t, dir, time.Now, nil)
			n.upstream = site
			n.cache.Restore(c.purges, c.floor, 7)
			_, out := n.get("/a/1")
			if out.Verdict != c.verdict {
				t.Errorf("%s (%s), want %s", out.Verdict, out.Detail, c.verdict)
			}
			n.stop()
		})
	}
}
