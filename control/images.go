package control

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
)

const (
	prefixImage = "image/"

	// imagesQuota is how many bytes the images of programs may have together, on each control node's disk.
	imagesQuota = 4 << 30
	// imagesAtOnce is how many are taken at the same time.
	imagesAtOnce = 4
	// imageGrace is how long an image that nothing names is kept for whoever has sent it to name it.
	imageGrace = time.Hour
	// imageRevisions is how many of the latest revisions of the settings keep the images that they name.
	imageRevisions = 16
	// imagesEvery is how often a control node looks for images that it lacks.
	imagesEvery = 5 * time.Second
	// tombstones are remembered for control nodes that are away so long.
	tombstoneFor = 30 * 24 * time.Hour
)

// imageRecord is an image that control has, or had.
type imageRecord struct {
	Size    int64     `json:"size"`
	At      time.Time `json:"at"`
	Author  string    `json:"author"`
	Removed time.Time `json:"removed,omitzero"` // control nodes drop their copies
}

func imageKey(h feed.Hash) string { return prefixImage + h.String() }

var (
	errQuota = errors.New("no room for it")
	// imageName is how settings name an image.
	imageName = regexp.MustCompile(`sha256:([0-9a-f]{64})`)
)

// PutImage implements api.Images.
func (c *Control) PutImage(ctx context.Context, a api.Actor, h feed.Hash, r io.Reader) (api.Image, error) {
	if err := may(a, api.Deploy, ""); err != nil {
		return api.Image{}, c.auditRefusal(ctx, a, "put image", imageKey(h), "", err)
	}
	old, _, ok, err := read[imageRecord](ctx, c, imageKey(h))
	if err != nil || ok && old.Removed.IsZero() && c.o.Keeper.HasObject(h) {
		return imageOf(h, old), err
	}
	select {
	case c.images <- struct{}{}:
		defer func() { <-c.images }()
	case <-ctx.Done():
		return api.Image{}, ctx.Err()
	}
	stock, err := c.stock(ctx)
	if err != nil {
		return api.Image{}, err
	}
	size, err := c.takeImage(h, r, stock.room(h))
	if err != nil {
		return api.Image{}, c.auditRefusal(ctx, a, "put image", imageKey(h), "", err)
	}
	record := imageRecord{Size: size, At: c.now().UTC(), Author: a.Name}
	txn := store.Txn{Put: []store.Put{put(imageKey(h), record), c.audited(a, "put image", imageKey(h), "", "", fmt.Sprint(size), c.now())}}
	for _, gone := range stock.makeRoom(h, size) {
		dropped := stock.records[gone]
		dropped.Removed = c.now().UTC()
		txn.Put = append(txn.Put, put(imageKey(gone), dropped))
	}
	if _, err := c.o.Store.Commit(ctx, txn); err != nil {
		return api.Image{}, unavailable(err)
	}
	return imageOf(h, record), nil
}

// takeImage keeps what is sent, if it is what its name says, can be a program, and has room.
func (c *Control) takeImage(h feed.Hash, r io.Reader, room int64) (size int64, err error) {
	var front [4]byte
	if _, err := io.ReadFull(r, front[:]); err != nil || !bytes.Equal(front[:], elfMagic) {
		return 0, wrong(http.StatusUnprocessableEntity, "put image", "what was sent is no program for Linux: send a static ELF file")
	}
	_, size, err = c.o.Keeper.PutObjectFrom(h, &roomReader{io.MultiReader(bytes.NewReader(front[:]), r), room})
	var full *fs.PathError
	switch {
	case errors.Is(err, errQuota):
		return 0, wrong(http.StatusInsufficientStorage, "put image",
			"the images of all programs may have %d MiB together, and %d are left: remove programs from the network's settings; images that nothing names make room an hour after they came",
			imagesQuota>>20, room>>20)
	case errors.Is(err, feed.ErrForged):
		return 0, wrong(http.StatusUnprocessableEntity, "put image", "what was sent isn't %s: send it again, with the hash that sha256sum prints", h)
	case errors.As(err, &full):
		return 0, wrong(http.StatusInsufficientStorage, "put image", "the image couldn't be kept: %w", err)
	}
	return size, err
}

// roomReader ends with errQuota where there is more than room.
type roomReader struct {
	r    io.Reader
	room int64
}

func (r *roomReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if r.room -= int64(n); r.room < 0 {
		return n, errQuota
	}
	return n, err
}

func imageOf(h feed.Hash, r imageRecord) api.Image {
	return api.Image{Hash: h, Size: r.Size, At: r.At, Author: r.Author}
}

// stock is all images that control has.
type stock struct {
	records map[feed.Hash]imageRecord
	gone    map[feed.Hash]imageRecord
	named   map[feed.Hash]bool
	now     time.Time
}

func (c *Control) stock(ctx context.Context) (*stock, error) {
	s := &stock{records: map[feed.Hash]imageRecord{}, gone: map[feed.Hash]imageRecord{}, named: map[feed.Hash]bool{}, now: c.now()}
	_, err := c.o.Store.All(ctx, prefixImage, func(kv store.KV) error {
		var h feed.Hash
		var r imageRecord
		if err := errors.Join(h.UnmarshalText([]byte(strings.TrimPrefix(kv.Key, prefixImage))), json.Unmarshal(kv.Value, &r)); err != nil {
			return fmt.Errorf("the store's %s is damaged: %w", kv.Key, err)
		}
		if r.Removed.IsZero() {
			s.records[h] = r
		} else {
			s.gone[h] = r
		}
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return s, c.noteNamed(ctx, s.named)
}

// noteNamed finds the images that the latest revisions of the settings name: those that hold, are on their way, or may be gone back to.
func (c *Control) noteNamed(ctx context.Context, named map[feed.Hash]bool) error {
	head, _, _, err := read[docHead](ctx, c, headKey(feed.KeyNetwork))
	if err != nil {
		return err
	}
	numbers := []uint64{head.Current, head.Previous, head.Candidate}
	for n := head.Latest; n > 0 && n+imageRevisions > head.Latest; n-- {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range slices.Compact(numbers) {
		rev, err := c.revision(ctx, feed.KeyNetwork, n)
		if err != nil {
			return err
		}
		b, err := c.bundle(ctx, feed.KeyNetwork, rev)
		if err != nil {
			return err
		}
		for _, found := range imageName.FindAllStringSubmatch(b.YAML, -1) {
			var h feed.Hash
			if h.UnmarshalText([]byte(found[1])) == nil {
				named[h] = true
			}
		}
	}
	return nil
}

// removable are the images that make room for others, the oldest first.
func (s *stock) removable(but feed.Hash) (list []feed.Hash) {
	for h, r := range s.records {
		if h != but && !s.named[h] && s.now.Sub(r.At) > imageGrace {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(x, y feed.Hash) int {
		return cmp.Or(s.records[x].At.Compare(s.records[y].At), bytes.Compare(x[:], y[:]))
	})
	return list
}

// bytes is how many all images have but one.
func (s *stock) bytes(but feed.Hash) (n int64) {
	for h, r := range s.records {
		if h != but {
			n += r.Size
		}
	}
	return n
}

// room is how large an image may be.
func (s *stock) room(h feed.Hash) int64 {
	room := imagesQuota - s.bytes(h)
	for _, other := range s.removable(h) {
		room += s.records[other].Size
	}
	return room
}

// makeRoom is what goes for an image that has come; the rest of it goes the next time.
func (s *stock) makeRoom(h feed.Hash, size int64) (list []feed.Hash) {
	left := imagesQuota - s.bytes(h) - size
	for _, other := range s.removable(h) {
		if left >= 0 || len(list) == documentsAtOnce {
			break
		}
		left += s.records[other].Size
		list = append(list, other)
	}
	return list
}

// Images implements api.Images.
func (c *Control) Images(ctx context.Context, a api.Actor) ([]api.Image, error) {
	if err := may(a, api.Read, ""); err != nil {
		return nil, err
	}
	s, err := c.stock(ctx)
	if err != nil {
		return nil, err
	}
	list := []api.Image{}
	for h, r := range s.records {
		i := imageOf(h, r)
		i.Named = s.named[h]
		list = append(list, i)
	}
	slices.SortFunc(list, func(x, y api.Image) int { return bytes.Compare(x.Hash[:], y.Hash[:]) })
	return list, nil
}

// Image implements api.Images.
func (c *Control) Image(ctx context.Context, a api.Actor, h feed.Hash, w io.Writer) error {
	if err := may(a, api.Deploy, ""); err != nil {
		return err
	}
	if r, _, ok, err := read[imageRecord](ctx, c, imageKey(h)); err != nil || !ok || !r.Removed.IsZero() {
		return errors.Join(err, noImage(h))
	}
	path, err := c.Program(ctx, h)
	if err != nil {
		return wrong(http.StatusServiceUnavailable, "image", "no control node that can be reached has the image %s: send it again", h)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

func noImage(h feed.Hash) error {
	return wrong(http.StatusNotFound, "image", "control has no image sha256:%s: wherry program deploy sends one", h)
}

// followImages has this control node's disk have the images that the store names, until ctx ends.
func (c *Control) followImages(ctx context.Context) {
	for ctx.Err() == nil {
		if err := c.syncImages(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("images of programs aren't all here yet; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(imagesEvery):
		}
	}
}

// syncImages gets the images that this control node lacks from others, so that each has all, and drops those that went.
func (c *Control) syncImages(ctx context.Context) error {
	s, err := c.stock(ctx)
	if err != nil {
		return nil // who follows the feed says that the store can't be read
	}
	var errs []error
	for h := range s.records {
		if !c.o.Keeper.HasObject(h) {
			if _, err := c.Program(ctx, h); err != nil {
				errs = append(errs, fmt.Errorf("image %s: %w", h, err))
			}
		}
	}
	dropped := false
	var forget []string
	for h, r := range s.gone {
		dropped = dropped || c.o.Keeper.HasObject(h)
		if s.now.Sub(r.Removed) > tombstoneFor && len(forget) < documentsAtOnce {
			forget = append(forget, imageKey(h))
		}
	}
	if dropped {
		_, err := c.o.Keeper.Collect(func(h feed.Hash) bool { _, gone := s.gone[h]; return !gone })
		errs = append(errs, err)
	}
	if len(forget) > 0 {
		_, err := c.o.Store.Commit(ctx, store.Txn{Delete: forget})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
