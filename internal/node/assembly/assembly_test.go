package assembly

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// bench is an assembly of lisbon-1 with what it is given.
type bench struct {
	*Assembly
	t       *testing.T
	dir     string
	objects map[feed.Hash][]byte
	docs    map[string]feed.Doc
	bad     string // a host of which no configuration is adopted
	adopted []string
	now     time.Time
	images  shelf
}

// shelf has the images of programs that came, and says which ones are named.
type shelf struct{ has, named []feed.Hash }

func (s *shelf) Have(list []feed.Hash) error {
	for _, h := range list {
		if !slices.Contains(s.has, h) {
			return fmt.Errorf("%s is on its way", h)
		}
	}
	return nil
}

func (s *shelf) Keep(list []feed.Hash) error {
	s.named = list
	return nil
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, dir: t.TempDir(), objects: map[feed.Hash][]byte{}, docs: map[string]feed.Doc{}, now: time.Unix(1e9, 0)}
	b.start(nil)
	b.setNode("lisbon-1", "lisbon", feed.RoleEdge)
	return b
}

// start begins a process in the same directory.
func (b *bench) start(lastGood map[string]feed.Ref) {
	b.t.Helper()
	guard, err := OpenGuard(filepath.Join(b.dir, "guard"))
	if err != nil {
		b.t.Fatal(err)
	}
	get := func(_ context.Context, h feed.Hash) ([]byte, error) {
		if data, ok := b.objects[h]; ok {
			return data, nil
		}
		return nil, fs.ErrNotExist
	}
	b.Assembly = New(Options{
		Self: "lisbon-1", Object: get, Files: &Files{Dir: filepath.Join(b.dir, "files"), Object: get, Secret: get}, Guard: guard,
		Images: &b.images, LastGood: lastGood, Now: func() time.Time { return b.now },
		Adopt: func(s *config.Snapshot) error {
			if site, _ := s.Site(config.Host(b.bad)); b.bad != "" && site != nil {
				return errors.New("can't be")
			}
			var names []string
			for i := range s.Sites {
				names = append(names, string(s.Sites[i].Name))
			}
			b.adopted = append(b.adopted, strings.Join(names, " "))
			return nil
		},
	})
}

func (b *bench) put(object any) feed.Hash {
	b.t.Helper()
	data, ok := object.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(object); err != nil {
			b.t.Fatal(err)
		}
	}
	b.objects[feed.HashOf(data)] = data
	return feed.HashOf(data)
}

func (b *bench) setNode(name config.NodeID, cluster config.ClusterName, roles ...feed.Role) {
	record := feed.NodeRecord{Name: name, Cluster: cluster, Roles: roles, Addresses: nil}
	b.docs[feed.NodeKey(name)] = feed.Doc{Ref: feed.Ref{Revision: 1, Object: b.put(record)}}
}

func (b *bench) site(revision uint64, yaml string, files ...feed.BundleFile) feed.Ref {
	return feed.Ref{Revision: revision, Object: b.put(feed.SiteBundle{YAML: yaml, Files: files})}
}

func shop(name string) string {
	return fmt.Sprintf(`{name: %s, hosts: [%s.test], origins: [{url: "http://192.0.2.9"}]}`, name, name)
}

func (b *bench) update() {
	b.t.Helper()
	if err := b.Update(b.t.Context(), b.Changes(b.docs)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) expect(sites string, refused ...string) {
	b.t.Helper()
	var keys []string
	for _, r := range b.Refused() {
		keys = append(keys, r.Key)
	}
	if got := b.adopted[len(b.adopted)-1]; got != sites || !slices.Equal(keys, refused) {
		b.t.Errorf("sites %q, want %q; refused %v, want %q", got, sites, b.Refused(), refused)
	}
}

func TestDocumentsAreAdopted(t *testing.T) {
	b := newBench(t)
	b.docs["site/a"] = feed.Doc{Ref: b.site(1, shop("a"))}
	b.docs["site/b"] = feed.Doc{Ref: b.site(1, shop("b"))}
	b.update()
	b.expect("a b")
	delete(b.docs, "site/a")
	b.update()
	b.expect("b")
	n := len(b.adopted)
	b.update()
	if len(b.adopted) != n {
		t.Error("adopted again what holds already")
	}
	if got := b.Revisions(); !maps.Equal(got, map[config.SiteName]uint64{"b": 1}) {
		t.Errorf("revisions %v", got)
	}
}

func TestAVariantIsForItsNodes(t *testing.T) {
	b := newBench(t)
	doc := feed.Doc{Ref: b.site(1, shop("a")), Variants: []feed.Variant{{Nodes: []config.NodeID{"lisbon-1"}, Ref: b.site(2, shop("a")+" # 2")}}}
	b.docs["site/a"] = doc
	b.update()
	if ref, _, _ := b.Holds("site/a"); ref.Revision != 2 {
		t.Errorf("holds %v", ref)
	}
	doc.Variants = nil
	b.docs["site/a"] = doc
	b.update()
	if ref, _, _ := b.Holds("site/a"); ref.Revision != 1 {
		t.Errorf("holds %v", ref)
	}
}

func TestOneBadSiteHoldsNothingBack(t *testing.T) {
	b := newBench(t)
	b.docs["site/a"] = feed.Doc{Ref: b.site(1, shop("a"))}
	b.update()
	b.bad = "c.test"
	for _, name := range []string{"b", "c", "d", "e"} {
		b.docs["site/"+name] = feed.Doc{Ref: b.site(1, shop(name))}
	}
	b.docs["site/f"] = feed.Doc{Ref: b.site(1, "name: f")}
	b.update()
	b.expect("a b d e", "site/c", "site/f")
	b.docs["site/c"] = feed.Doc{Ref: b.site(2, strings.ReplaceAll(shop("c"), "c.test", "cc.test"))}
	b.update()
	b.expect("a b c d e", "site/f")
}

func TestWhatCantBeHadWaits(t *testing.T) {
	b := newBench(t)
	ref := b.site(1, shop("a"))
	data := b.objects[ref.Object]
	delete(b.objects, ref.Object)
	b.docs["site/a"], b.docs["site/b"] = feed.Doc{Ref: ref}, feed.Doc{Ref: b.site(1, shop("b"))}
	b.update()
	b.expect("b")
	if w := b.Waiting(); len(w) != 1 || !strings.Contains(w[0], "site/a") {
		t.Errorf("waiting for %q", w)
	}
	b.objects[ref.Object] = data
	b.update()
	b.expect("a b")
}

func TestFilesAreOnTheDisk(t *testing.T) {
	b := newBench(t)
	yaml := `{name: a, hosts: [a.test], origins: [{url: "http://192.0.2.9"}], tls: {certificate: a.crt, key: a.key}}`
	files := []feed.BundleFile{{Name: "a.crt", Object: b.put([]byte("C"))}, {Name: "a.key", Object: b.put([]byte("K")), Secret: true}}
	b.docs["site/a"] = feed.Doc{Ref: b.site(1, yaml, files...)}
	b.update()
	tls := b.Snapshot().Sites[0].TLS
	key, err := os.ReadFile(tls.Key)
	info, _ := os.Stat(tls.Key)
	if err != nil || string(key) != "K" || info.Mode().Perm() != 0o600 {
		t.Errorf("key %q, %v", key, err)
	}
	delete(b.docs, "site/a")
	b.update()
	if _, err := os.Stat(tls.Key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the key of a site that is gone is there: %v", err)
	}
	b.docs["site/a"] = feed.Doc{Ref: b.site(2, yaml, files[0])}
	b.update()
	b.expect("", "site/a")
}

// What kills the node three times is left alone; what was good before it is used.
func TestGuardEndsACrashLoop(t *testing.T) {
	b := newBench(t)
	good := b.site(1, shop("a"))
	b.docs["site/a"] = feed.Doc{Ref: good}
	b.update()
	b.now = b.now.Add(time.Minute)
	b.o.Guard.Proved(b.now)
	b.docs["site/a"] = feed.Doc{Ref: b.site(2, shop("a")+" # 2")}
	b.update()
	for death := 1; death <= deathsMax; death++ {
		b.start(map[string]feed.Ref{"site/a": good})
		b.update()
		ref, _, _ := b.Holds("site/a")
		if want := 2 - uint64(death/deathsMax); ref.Revision != want {
			t.Errorf("after %d deaths revision %d, want %d", death, ref.Revision, want)
		}
	}
	b.expect("a", "site/a")
	if err := b.o.Guard.Close(); err != nil {
		t.Fatal(err)
	}
	b.start(b.LastGood())
	b.update()
	b.expect("a", "site/a")
	b.docs["site/a"] = feed.Doc{Ref: b.site(3, shop("a")+" # 3")}
	b.update()
	b.expect("a")
}

func TestGuardForgivesWhatWasLivedWith(t *testing.T) {
	b := newBench(t)
	b.update()
	b.docs["site/a"] = feed.Doc{Ref: b.site(1, shop("a"))}
	b.update()
	for range 5 {
		b.now = b.now.Add(provedAfter)
		b.o.Guard.Proved(b.now)
		b.start(nil)
		b.update()
	}
	b.expect("a")
}
