package images

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/vmm/rootfs"
)

const (
	prefix = "image/"
	// atOnce is how many images are taken at the same time.
	atOnce = 4
	// every is how often a control node looks for images that it lacks.
	every = 5 * time.Second
)

// Key is the store's key of an image.
func Key(h feed.Hash) string { return prefix + h.String() }

// Options are what Images are made of.
type Options struct {
	Store  *store.Store
	Keeper *feed.Keeper
	// Named finds the images that may not go.
	Named func(ctx context.Context) (map[feed.Hash]bool, error)
	// Fetch brings an image of another control node to this one's keeper.
	Fetch func(ctx context.Context, h feed.Hash) error
	Now   func() time.Time
	Log   *slog.Logger
}

// Images are those of a network, at one of its control nodes. They are safe for use by many goroutines.
type Images struct {
	o      Options
	taking chan struct{} // holds one for each image that is being taken

	mu    sync.Mutex // protects what follows; lost with the process, and read again from the store
	known map[feed.Hash]bool
}

// New returns the images of a store.
func New(o Options) *Images {
	return &Images{o: o, taking: make(chan struct{}, atOnce), known: map[feed.Hash]bool{}}
}

// Is says whether something in the keeper is an image, as far as this control node has heard.
func (s *Images) Is(h feed.Hash) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[h]
}

// know notes what images there are. What the keeper has beside them may be one that is just being taken.
func (s *Images) know(all *Stock) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h := range s.known {
		if !s.o.Keeper.HasObject(h) {
			delete(s.known, h)
		}
	}
	for h := range all.Records {
		s.known[h] = true
	}
	for h := range all.gone {
		s.known[h] = true
	}
}

var errQuota = errors.New("no room for it")

func wrong(status int, format string, args ...any) error {
	return fault.New(fault.Client, "image", status, fmt.Errorf(format, args...))
}

func unavailable(err error) error {
	return fault.New(fault.Edge, "store", http.StatusServiceUnavailable, err)
}

// Put keeps an image, if it is what its hash says; with the record comes what else is to be put. An image that is there isn't read.
func (s *Images) Put(ctx context.Context, h feed.Hash, image io.Reader, author string, with store.Put) (api.Image, error) {
	if r, ok, err := s.Get(ctx, h); err != nil || ok && s.o.Keeper.HasObject(h) {
		return r.image(h), err
	}
	select {
	case s.taking <- struct{}{}:
		defer func() { <-s.taking }()
	case <-ctx.Done():
		return api.Image{}, ctx.Err()
	}
	stock, err := s.Stock(ctx)
	if err != nil {
		return api.Image{}, err
	}
	size, err := s.take(h, image, stock.room(h))
	if err != nil {
		return api.Image{}, err
	}
	now := s.o.Now().UTC()
	record := Record{Size: size, At: now, Author: author}
	txn := store.Txn{Put: []store.Put{put(h, record), with}}
	for _, gone := range stock.makeRoom(h, size) {
		dropped := stock.Records[gone]
		dropped.Removed = now
		txn.Put = append(txn.Put, put(gone, dropped))
	}
	if _, err := s.o.Store.Commit(ctx, txn); err != nil {
		return api.Image{}, unavailable(err)
	}
	return record.image(h), nil
}

func put(h feed.Hash, r Record) store.Put {
	data, err := json.Marshal(r)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return store.Put{Key: Key(h), Value: data}
}

// take keeps what is sent, if it is what its name says, can be a program, and has room.
func (s *Images) take(h feed.Hash, image io.Reader, room int64) (size int64, err error) {
	var front [512]byte
	n, err := io.ReadFull(image, front[:])
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil // the image has no more
	}
	if err != nil || !rootfs.IsProgram(front[:n]) && !rootfs.IsArchive(front[:n]) {
		return 0, wrong(http.StatusUnprocessableEntity, "what was sent is no program for Linux: send a static ELF file, or a tar archive that has one and its files")
	}
	s.mu.Lock()
	s.known[h] = true
	s.mu.Unlock()
	_, size, err = s.o.Keeper.PutObjectFrom(h, &roomReader{io.MultiReader(bytes.NewReader(front[:n]), image), room})
	switch {
	case errors.Is(err, errQuota):
		return 0, wrong(http.StatusInsufficientStorage, "the images of all programs may have %d MiB together, and this one may have %d bytes of it: "+
			"remove programs from the network's settings; images that nothing names make room %s after they came", Quota>>20, room, Grace)
	case errors.Is(err, feed.ErrForged):
		return 0, wrong(http.StatusUnprocessableEntity, "what was sent isn't %s: send it again, with the hash that sha256sum prints", h)
	case errors.As(err, new(*fs.PathError)):
		return 0, wrong(http.StatusInsufficientStorage, "the image couldn't be kept: %w", err)
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

// Get returns what is known of an image; ok is false if there is none.
func (s *Images) Get(ctx context.Context, h feed.Hash) (r Record, ok bool, err error) {
	kv, ok, err := s.o.Store.Get(ctx, Key(h))
	if err != nil {
		return r, false, unavailable(err)
	}
	if ok {
		if err := json.Unmarshal(kv.Value, &r); err != nil {
			return r, false, damaged(kv.Key, err)
		}
	}
	return r, ok && r.Removed.IsZero(), nil
}

func damaged(key string, err error) error {
	return fmt.Errorf("the store's %s is damaged: %w; restore a backup", key, err)
}

// Stock returns all images, and which of them are named.
func (s *Images) Stock(ctx context.Context) (*Stock, error) {
	all, err := s.records(ctx)
	if err == nil {
		all.Named, err = s.o.Named(ctx)
	}
	return all, err
}

// records returns all images.
func (s *Images) records(ctx context.Context) (*Stock, error) {
	all := &Stock{Records: map[feed.Hash]Record{}, gone: map[feed.Hash]Record{}, now: s.o.Now()}
	_, err := s.o.Store.All(ctx, prefix, func(kv store.KV) error {
		var h feed.Hash
		var r Record
		if err := errors.Join(h.UnmarshalText([]byte(strings.TrimPrefix(kv.Key, prefix))), json.Unmarshal(kv.Value, &r)); err != nil {
			return damaged(kv.Key, err)
		}
		if r.Removed.IsZero() {
			all.Records[h] = r
		} else {
			all.gone[h] = r
		}
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	s.know(all)
	return all, nil
}

// List is all images, by hash.
func (s *Images) List(ctx context.Context) ([]api.Image, error) {
	all, err := s.Stock(ctx)
	if err != nil {
		return nil, err
	}
	list := []api.Image{}
	for h, r := range all.Records {
		i := r.image(h)
		i.Named = all.Named[h]
		list = append(list, i)
	}
	slices.SortFunc(list, func(x, y api.Image) int { return bytes.Compare(x.Hash[:], y.Hash[:]) })
	return list, nil
}

func (r Record) image(h feed.Hash) api.Image {
	return api.Image{Hash: h, Size: r.Size, At: r.At, Author: r.Author}
}

// Write writes an image to w.
func (s *Images) Write(ctx context.Context, h feed.Hash, w io.Writer) error {
	if _, ok, err := s.Get(ctx, h); err != nil {
		return err
	} else if !ok {
		return wrong(http.StatusNotFound, "control has no image sha256:%s: wherry program deploy sends one", h)
	}
	if err := s.o.Fetch(ctx, h); err != nil {
		return fault.New(fault.Edge, "image", http.StatusServiceUnavailable, fmt.Errorf("no control node that can be reached has the image %s: send it again", h))
	}
	f, err := s.o.Keeper.ObjectFile(h)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// Run has this control node's disk have the images that the store names, until ctx ends.
func (s *Images) Run(ctx context.Context) {
	said := ""
	for ctx.Err() == nil {
		why := ""
		if err := s.sync(ctx); err != nil && ctx.Err() == nil {
			why = err.Error()
		}
		if why != "" && why != said { // it is tried again and again
			s.o.Log.Warn("images of programs aren't all here; trying again", "error", why)
		}
		said = why
		select {
		case <-ctx.Done():
		case <-time.After(every):
		}
	}
}

// sync gets the images that this control node lacks from others, so that each has all, and drops those that went.
func (s *Images) sync(ctx context.Context) error {
	all, err := s.records(ctx)
	if err != nil {
		return nil // who follows the feed says that the store can't be read
	}
	var errs []error
	for _, h := range slices.SortedFunc(maps.Keys(all.Records), func(x, y feed.Hash) int { return bytes.Compare(x[:], y[:]) }) {
		if !s.o.Keeper.HasObject(h) {
			if err := s.o.Fetch(ctx, h); err != nil {
				errs = append(errs, fmt.Errorf("image %s: %w", h, err))
			}
		}
	}
	dropped := false
	var forget []string
	for h, r := range all.gone {
		dropped = dropped || s.o.Keeper.HasObject(h)
		if all.now.Sub(r.Removed) > TombstoneFor && len(forget) < changesMax {
			forget = append(forget, Key(h))
		}
	}
	if dropped {
		_, err := s.o.Keeper.Collect(func(h feed.Hash) bool { _, gone := all.gone[h]; return !gone })
		errs = append(errs, err)
	}
	if len(forget) > 0 {
		_, err := s.o.Store.Commit(ctx, store.Txn{Delete: forget})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
