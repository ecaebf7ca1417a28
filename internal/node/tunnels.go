package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/feed"
)

const (
	tokenFresh  = time.Minute // what control has said of a token counts
	tokenKept   = time.Hour   // and if control doesn't answer
	tokensMax   = 1024
	tokenWithin = 3 * time.Second
)

// tokens are what control has said of the tokens of machines that are no nodes. Lost with the process.
type tokens struct {
	mu      sync.Mutex            // protects known
	known   map[string]knownToken // by feed.TokenHash
	removed atomic.Pointer[map[string]time.Time]
}

// revoke takes in which tokens were removed, as the feed says.
func (t *tokens) revoke(removed map[string]time.Time) {
	t.removed.Store(&removed)
	t.mu.Lock()
	defer t.mu.Unlock()
	for hash := range removed {
		delete(t.known, hash)
	}
}

// good says why a token isn't good any more, as far as that is known here.
func (t *tokens) good(hash string, now time.Time) error {
	if removed := t.removed.Load(); removed != nil {
		if _, ok := (*removed)[hash]; ok {
			return errors.New("the token was removed: wherry token create makes another")
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.known[hash].self; !k.Expires.IsZero() && now.After(k.Expires) {
		return fmt.Errorf("the token %s expired at %s: wherry token create makes another", k.Name, k.Expires.Format(time.RFC3339))
	}
	return nil
}

// goodToken says why a token that was shown isn't good any more.
func (n *Node) goodToken(token string) error { return n.tokens.good(feed.TokenHash(token), time.Now()) }

type knownToken struct {
	self api.Self
	at   time.Time
}

// mayOffer says why who shows a token may not offer a site by a tunnel.
func (n *Node) mayOffer(ctx context.Context, token string, site config.SiteName) error {
	self, err := n.whose(ctx, token)
	switch {
	case err != nil:
		return err
	case !self.Scope.Allows(api.Deploy):
		return fmt.Errorf("the token %s may not deploy; its verbs are %v", self.Name, self.Scope.Verbs)
	case !self.Scope.Of(site):
		return fmt.Errorf("the token %s is for the sites %v, not for %s", self.Name, self.Scope.Sites, site)
	}
	return nil
}

// mayForward says why who shows a token may not be connected to a target from this machine: it has to be on its own loopback, or in the list of its
// configuration.
func (n *Node) mayForward(ctx context.Context, token, target string) error {
	self, err := n.whose(ctx, token)
	switch {
	case err != nil:
		return err
	case !self.Scope.Allows(api.Admin) || len(self.Scope.Sites) > 0:
		return fmt.Errorf("the token %s may not administer the network; it may %s", self.Name, self.Scope)
	}
	host, port, err := net.SplitHostPort(target)
	if err != nil {
		return err
	}
	if at, err := netip.ParseAddr(host); err == nil && at.Unmap().IsLoopback() {
		return nil
	}
	if said := n.upstreams.Load(); said != nil && said.own.Forwards(host, port) {
		return nil
	}
	return fmt.Errorf("it is beyond the node's own loopback, and isn't in its list: wherry node set %s --forward %s, or overlay.forward in its configuration", n.s.Name, target)
}

// whose asks control about a token. Without control those who were known a while ago may stay.
func (n *Node) whose(ctx context.Context, token string) (api.Self, error) {
	key, now := feed.TokenHash(token), time.Now()
	if err := n.tokens.good(key, now); err != nil {
		return api.Self{}, err
	}
	n.tokens.mu.Lock()
	k, ok := n.tokens.known[key]
	n.tokens.mu.Unlock()
	if ok && now.Sub(k.at) < tokenFresh {
		return k.self, nil
	}
	self, err := n.askWhose(ctx, token)
	for err != nil && !decided(err) { // an agent that is refused stays away for minutes
		if ok && now.Sub(k.at) < tokenKept {
			return k.self, nil
		}
		select {
		case <-ctx.Done():
			return self, fmt.Errorf("control can't be asked about the token: %w", err)
		case <-time.After(retryEvery):
		}
		self, err = n.askWhose(ctx, token)
	}
	n.tokens.mu.Lock()
	defer n.tokens.mu.Unlock()
	if err != nil {
		delete(n.tokens.known, key)
		return self, err
	}
	if n.tokens.known == nil || len(n.tokens.known) >= tokensMax {
		n.tokens.known = map[string]knownToken{}
	}
	n.tokens.known[key] = knownToken{self, now}
	return self, nil
}

// decided says whether it is control that refuses a token.
func decided(err error) bool {
	var no *api.Problem
	if errors.As(err, &no) {
		return no.Status == http.StatusUnauthorized
	}
	return fault.Of(err).Status == http.StatusUnauthorized
}

func (n *Node) askWhose(ctx context.Context, token string) (self api.Self, err error) {
	if st := n.station.Load(); st != nil {
		a, err := st.control.Authenticate(ctx, token)
		return api.Self{Name: a.Name, Scope: a.Can, Expires: a.Expires}, err
	}
	err = errors.New("no control node is known")
	for _, at := range n.controls() {
		asking, cancel := context.WithTimeout(ctx, tokenWithin)
		client := api.Client{Server: "https://" + at, Token: token, HTTP: &http.Client{Transport: n.toControl}}
		self, err = client.Self(asking)
		cancel()
		if err == nil || decided(err) {
			break
		}
	}
	return self, err
}
