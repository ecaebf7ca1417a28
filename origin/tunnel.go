package origin

import (
	"context"
	"net/http"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/trace"
)

// newTunnelServer is an origin behind a tunnel: over is who asks it. It has no connections of this room's: they and their limits are over's.
func newTunnelServer(o *config.Origin, over http.RoundTripper) *server {
	return &server{name: originName(o.URL), scheme: "http", host: o.URL.Host, conns: newConns(0), tunnel: over, checker: over}
}

// askTunnel is ask for an origin behind a tunnel. The time until there is a response is over's to limit, and its faults say whether something was acted
// on: where they may be retried nothing was.
func (p *pool) askTunnel(req *http.Request, s *server, choice pick, up *upload) (*http.Response, *attemptError) {
	a := &attempt{
		pool: p, server: s, index: choice.index, trial: choice.trial, phase: phaseSend,
		trace: trace.From(req.Context()), began: time.Now(), ctx: req.Context(),
	}
	s.inFlight.Add(1)
	a.asked, a.cancel = context.WithCancelCause(req.Context())
	a.timer = time.AfterFunc(time.Hour, a.expire)
	a.timer.Stop()
	a.out = rewrite(a.asked, req, s, p.settings.fetch.Host)
	if up != nil {
		a.body = up.viewFor(p.settings.fetch.BodyTimeout, a.stalled)
		a.out.Body = a.body
	}
	if a.trace.On() {
		a.trace.Addf("origin", "send", "%s %s, Host %s, through a tunnel", a.out.Method, a.out.URL.RequestURI(), a.out.Host)
	}
	resp, err := s.tunnel.RoundTrip(a.out)
	if err != nil {
		f := *fault.Of(err)
		if req.Context().Err() != nil {
			f.Party, f.Status, f.Retry = fault.Client, fault.StatusClientClosedRequest, false
		}
		return nil, a.fail(&f)
	}
	resp.Request = req
	if err := vet(req, resp); err != nil {
		_ = resp.Body.Close()
		return nil, a.fail(err)
	}
	a.responded(resp)
	return resp, nil
}
