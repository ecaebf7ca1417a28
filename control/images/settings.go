package images

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

const (
	// bootWithin is how long nodes may take to start a program that they haven't had, rateMin how fast they get it at least, in bytes a second.
	bootWithin = 30 * time.Second
	rateMin    = 1 << 20
)

// Check looks whether there is what settings name, and returns how long nodes may take to get what those before don't name.
func (s *Images) Check(ctx context.Context, n *config.Network, before string) (fetch time.Duration, err error) {
	list, err := feed.ImagesOf(n)
	if err != nil {
		return 0, wrong(http.StatusUnprocessableEntity, "%w", err)
	}
	for _, h := range list {
		r, ok, err := s.Get(ctx, h)
		switch {
		case err != nil:
			return 0, err
		case !ok:
			return 0, wrong(http.StatusUnprocessableEntity, "control has no image sha256:%s: wherry program deploy sends one", h)
		case !strings.Contains(before, h.String()):
			fetch += bootWithin + time.Duration(r.Size/rateMin)*time.Second
		}
	}
	return fetch, nil
}
