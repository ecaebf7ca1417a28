package images

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

const (
	// servingMax is how many images are sent at the same time: one to each node that may follow this one, and eachMax how many of them to one.
	servingMax = 64
	eachMax    = 2
	// writeTimeout is how long who asks may take for writeStep bytes.
	writeTimeout = 10 * time.Second
	writeStep    = 64 << 10
)

// Serve sends an image that is here, or is fetched now: what has come of it is sent on at once. The end of it is kept back until all has the hash, so that nobody gets as whole
// what isn't. A request may be for what comes after a byte (RFC 9110 §14.2).
func (s *Images) Serve(w http.ResponseWriter, r *http.Request, to config.NodeID, h feed.Hash) {
	if !s.admit(to) {
		http.Error(w, "too many images are being sent: ask another node", http.StatusServiceUnavailable)
		return
	}
	defer s.release(to)
	p, err := s.open(r.Context(), h)
	if err != nil {
		http.Error(w, "the image can't be had here now: ask another node", http.StatusServiceUnavailable)
		return
	}
	defer p.file.Close()
	from := asksFrom(r, h)
	if from >= p.size {
		http.Error(w, "that is all of it", http.StatusRequestedRangeNotSatisfiable)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", strconv.Quote(h.String()))
	w.Header().Set("Content-Length", strconv.FormatInt(p.size-from, 10))
	if from > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, p.size-1, p.size))
		w.WriteHeader(http.StatusPartialContent)
	}
	if err := s.send(w, r, p, h, from); err != nil {
		s.o.Log.Debug("an image wasn't sent whole", "image", h, "error", err)
		panic(http.ErrAbortHandler) // so that it isn't taken for whole
	}
}

// admit takes a node among those that are sent an image.
func (s *Images) admit(to config.NodeID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.serving >= servingMax || s.to[to] >= eachMax {
		return false
	}
	s.serving++
	s.to[to]++
	return true
}

func (s *Images) release(to config.NodeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serving--
	if s.to[to]--; s.to[to] == 0 {
		delete(s.to, to)
	}
}

// asksFrom says from which byte on an image is asked for. Other ranges than "all after" are answered with all of it.
func asksFrom(r *http.Request, h feed.Hash) int64 {
	digits, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	digits, open := strings.CutSuffix(digits, "-")
	from, err := strconv.ParseInt(digits, 10, 64)
	if !ok || !open || err != nil || from < 0 || r.Header.Get("If-Range") != strconv.Quote(h.String()) {
		return 0
	}
	return from
}

// piece is an image that is being sent, as far as it is here.
type piece struct {
	file   *os.File
	size   int64
	coming *coming // nil: all is here
}

// open opens an image as soon as it is known how large it is. Where it isn't here it is fetched.
func (s *Images) open(ctx context.Context, h feed.Hash) (*piece, error) {
	if p, err := openWhole(s.path(h)); err == nil {
		return p, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.want(h)
	for c != nil && !c.over && c.size == sizeUnknown {
		if err := s.wait(ctx, c); err != nil {
			return nil, err
		}
	}
	switch {
	case c == nil || c.failed != nil && c.over:
		return nil, errors.New("it can't be had now")
	case c.over:
		return openWhole(s.path(h))
	}
	f, err := os.Open(s.path(h) + partSuffix)
	if errors.Is(err, fs.ErrNotExist) { // it has just become whole
		return openWhole(s.path(h))
	}
	return &piece{f, c.size, c}, err
}

func openWhole(path string) (*piece, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &piece{file: f, size: info.Size()}, nil
}

// wait waits until something has become of an image. s.mu is held, but not while it waits.
func (s *Images) wait(ctx context.Context, c *coming) error {
	changed := c.changed
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ready waits until an image is here up to a byte.
func (s *Images) ready(ctx context.Context, c *coming, to int64) error {
	if c == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case c.over:
			return c.failed
		case c.have >= to:
			return nil
		}
		if err := s.wait(ctx, c); err != nil {
			return err
		}
	}
}

// send sends what comes after a byte. It reads what is before that, too, for the hash of all.
func (s *Images) send(w http.ResponseWriter, r *http.Request, p *piece, h feed.Hash, from int64) error {
	out, sum, block := http.NewResponseController(w), sha256.New(), make([]byte, writeStep)
	for at := int64(0); at < p.size; {
		n := min(writeStep, p.size-at)
		if err := s.ready(r.Context(), p.coming, at+n); err != nil {
			return err
		}
		if _, err := io.ReadFull(io.NewSectionReader(p.file, at, n), block[:n]); err != nil {
			return err
		}
		sum.Write(block[:n])
		if at += n; at == p.size && feed.Hash(sum.Sum(nil)) != h {
			s.rotten(h, p)
			return errDamaged
		}
		if at <= from {
			continue
		}
		// A writer that has no deadlines is a test's.
		if err := out.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		sent, err := w.Write(block[max(0, n-(at-from)):n])
		s.o.Metrics.sent.Add(float64(sent))
		if err != nil {
			return err
		}
		if p.coming != nil { // else net/http sends it in larger pieces
			if err := out.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// rotten has an image looked at that was here and has another hash than its name says: the next one who needs it has it fetched.
func (s *Images) rotten(h feed.Hash, p *piece) {
	if p.coming != nil {
		return // who fetches it sees for himself
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.whole, h)
	s.isWhole(h)
}
