package images

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/wherry/wherry/feed"
)

const (
	// Quota is how many bytes all images may have together, on each control node's disk.
	Quota = 4 << 30
	// Grace is how long an image that nothing names is kept for whoever has sent it to name it.
	Grace = time.Hour
	// TombstoneFor is how long removed images are remembered for control nodes that are away.
	TombstoneFor = 30 * 24 * time.Hour
	// changesMax bounds what goes in one transaction.
	changesMax = 100
)

// Record is an image that there is, or was.
type Record struct {
	Size    int64     `json:"size"`
	At      time.Time `json:"at"`
	Author  string    `json:"author"`
	Removed time.Time `json:"removed,omitzero"` // control nodes drop their copies
}

// Stock is all images.
type Stock struct {
	Records map[feed.Hash]Record
	Named   map[feed.Hash]bool
	gone    map[feed.Hash]Record
	now     time.Time
}

// removable are the images that make room for others, the oldest first.
func (s *Stock) removable(but feed.Hash) (list []feed.Hash) {
	for h, r := range s.Records {
		if h != but && !s.Named[h] && s.now.Sub(r.At) > Grace {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(x, y feed.Hash) int {
		return cmp.Or(s.Records[x].At.Compare(s.Records[y].At), bytes.Compare(x[:], y[:]))
	})
	return list
}

// bytes is how many all images have but one.
func (s *Stock) bytes(but feed.Hash) (n int64) {
	for h, r := range s.Records {
		if h != but {
			n += r.Size
		}
	}
	return n
}

// room is how large an image may be.
func (s *Stock) room(h feed.Hash) int64 {
	room := Quota - s.bytes(h)
	for _, other := range s.removable(h) {
		room += s.Records[other].Size
	}
	return max(0, room)
}

// makeRoom is what goes for an image that has come; the rest of it goes the next time.
func (s *Stock) makeRoom(h feed.Hash, size int64) (list []feed.Hash) {
	left := Quota - s.bytes(h) - size
	for _, other := range s.removable(h) {
		if left >= 0 || len(list) == changesMax {
			break
		}
		left += s.Records[other].Size
		list = append(list, other)
	}
	return list
}
