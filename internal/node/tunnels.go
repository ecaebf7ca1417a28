package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/fault"
)

const (
	tokenFresh  = time.Minute // what control has said of a token counts
	tokenKept   = time.Hour   // and if control doesn't answer
	tokensMax   = 1024
	tokenWithin = 3 * time.Second
)

// tokens are what control has said of agents' tokens; mu guards it. Lost with the process.
type tokens struct {
	mu    sync.Mutex
	known map[[sha256.Size]byte]knownToken
}

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

// whose asks control about a token. Without control those who were known a while ago may stay.
func (n *Node) whose(ctx context.Context, token string) (api.Self, error) {
	key, now := sha256.Sum256([]byte(token)), time.Now()
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
		n.tokens.known = map[[sha256.Size]byte]knownToken{}
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
		return api.Self{Name: a.Name, Scope: a.Can}, err
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
