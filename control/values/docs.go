package values

import (
	"fmt"
	"strings"

	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/kv"
)

const (
	// Ring is how many pages the feed's state has.
	Ring = 512
	// Lazy is how many pages a shard is behind until it is made anew.
	Lazy = 128
)

// The keys of documents; they are looked up at each change of the feed.
var pageKeys, shardKeys = numbered("page", Ring), numbered("shard", kv.Shards+1)

func numbered(what string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("%s%s/%03d", feed.PrefixValue, what, i)
	}
	return list
}

// refs are the documents of the feed that are about values. The revision of each is the number of its page.
type refs struct {
	epoch  uint64
	pages  [Ring]feed.Ref
	shards [kv.Shards + 1]feed.Ref
}

func refsOf(s *feed.State) *refs {
	r := &refs{epoch: s.Position.Epoch}
	for i, key := range pageKeys {
		r.pages[i] = s.Docs[key].Ref
	}
	for i, key := range shardKeys {
		r.shards[i] = s.Docs[key].Ref
	}
	return r
}

// Docs is what the feed's state says of values.
func Docs(s *feed.State) kv.Docs {
	r := refsOf(s)
	d := kv.Docs{Epoch: r.epoch, Pages: map[uint64]kv.Name{}}
	for key := range s.Docs {
		if strings.HasPrefix(key, feed.PrefixNode) {
			d.Nodes++
		}
	}
	for _, ref := range r.pages {
		if !ref.IsZero() {
			d.Pages[ref.Revision] = kv.Name(ref.Object)
		}
	}
	for i, ref := range r.shards {
		d.Shards[i] = kv.Name(ref.Object)
	}
	return d
}

// Objects are those that the feed's state names for values.
func Objects(s *feed.State) map[feed.Hash]bool {
	r := refsOf(s)
	all := map[feed.Hash]bool{}
	for _, ref := range append(r.pages[:], r.shards[:]...) {
		if !ref.IsZero() {
			all[ref.Object] = true
		}
	}
	return all
}
