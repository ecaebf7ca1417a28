package origin

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// checkBodySizeMax is how much of the answer to a check is read; more is cut off.
const checkBodySizeMax = 64 << 10

// check asks server i for its health at once and then at each interval, until ctx ends.
func (p *pool) check(ctx context.Context, i int) {
	tick := time.NewTicker(p.settings.fetch.Health.Interval)
	defer tick.Stop()
	for {
		err := p.checkOnce(ctx, p.servers[i])
		if ctx.Err() != nil {
			return
		}
		why := ""
		if err != nil {
			why = "check: " + err.Error()
		}
		p.learn(i, func(h *health, now time.Time) { h.checked(now, why) })
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// checkOnce returns nil if s answers as the configuration says.
func (p *pool) checkOnce(ctx context.Context, s *server) error {
	want := p.settings.fetch.Health
	if want.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, want.Timeout)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.scheme+"://"+s.host+s.prefix+want.Path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "wherry-check")
	switch host := p.settings.fetch.Host; host {
	case "origin":
	case "client", "":
		req.Host = p.settings.checkHost
	default:
		req.Host = host
	}
	resp, err := s.checker.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, checkBodySizeMax); err != nil && err != io.EOF {
		return fmt.Errorf("read body: %w", err)
	}
	if resp.StatusCode != want.Status && (want.Status != 0 || resp.StatusCode < 200 || resp.StatusCode > 399) {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
