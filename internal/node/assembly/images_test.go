package assembly

import (
	"slices"
	"strings"
	"testing"

	"github.com/wherry/wherry/feed"
)

func greeting(h feed.Hash) []byte {
	return []byte("zone: cdn.test\nprograms: {hello: {image: \"sha256:" + h.String() + "\"}}\n")
}

// Settings wait until the images are here that they name, and sites with programs for such settings; what held before holds on.
func TestImagesAreWaitedFor(t *testing.T) {
	b := newBench(t)
	first, second := feed.HashOf([]byte("first")), feed.HashOf([]byte("second"))
	b.docs["network"] = feed.Doc{Ref: feed.Ref{Revision: 1, Object: b.put(greeting(first))}}
	b.docs["site/a"] = feed.Doc{Ref: b.site(1, "name: a\nhosts: [a.test]\nrules: [{name: r, match: {paths: [/*]}, program: hello}]\n")}
	b.docs["site/b"] = feed.Doc{Ref: b.site(1, shop("b"))}
	b.update()
	b.expect("b")
	if w := strings.Join(b.Waiting(), "\n"); !strings.Contains(w, first.String()+" is on its way") || !strings.Contains(w, "site/a") && !strings.Contains(w, "its programs") {
		t.Errorf("waits for %s", w)
	}
	b.images.has = append(b.images.has, first)
	b.update()
	b.expect("a b")
	if !slices.Equal(b.images.named, []feed.Hash{first}) {
		t.Errorf("%v are named", b.images.named)
	}

	b.docs["network"] = feed.Doc{Ref: feed.Ref{Revision: 2, Object: b.put(greeting(second))}}
	b.update()
	if ref, _, _ := b.Holds("network"); ref.Revision != 1 || len(b.Waiting()) != 1 || b.Snapshot().Programs["hello"].Image != "sha256:"+first.String() {
		t.Errorf("without the image it holds revision %d", ref.Revision)
	}
	_, clean, err := b.Try(t.Context(), "network", greeting(second), nil)
	if clean(); !Missing(err) {
		t.Errorf("tried without the image: %v", err)
	}
	b.images.has = append(b.images.has, second)
	b.update()
	if ref, _, _ := b.Holds("network"); ref.Revision != 2 || !slices.Equal(b.images.named, []feed.Hash{second}) {
		t.Errorf("with the image it holds revision %d and names %v", ref.Revision, b.images.named)
	}
	b.docs["network"] = feed.Doc{Ref: feed.Ref{Revision: 3, Object: b.put([]byte("programs: {hello: {image: ./hello}}\n"))}}
	b.update()
	b.expect("a b", "network")
}
