package control

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
)

const (
	prefixToken = "token/"
	tokenFront  = "wat1_"
	// tokenCached is how long a token counts without another look into the store: so long does one that was removed.
	tokenCached = 2 * time.Second
	tokensMax   = 10_000 // that are cached
)

// tokenRecord is a token, under the hash of its secret.
type tokenRecord struct {
	api.Token
}

type cachedToken struct {
	token api.Token
	until time.Time
}

func adminScope() api.Scope { return api.Scope{Verbs: []api.Verb{api.Admin}} }

// NewToken returns a new secret.
func NewToken() string { return tokenFront + rand.Text() + rand.Text()[:6] }

func tokenKey(secret string) string { return prefixToken + feed.TokenHash(secret) }

func (c *Control) tokenPut(name, secret string, scope api.Scope, by string, now time.Time, life time.Duration) store.Put {
	t := api.Token{Name: name, Scope: scope, Created: now.UTC(), By: by}
	if life > 0 {
		t.Expires = now.Add(life).UTC()
	}
	return put(tokenKey(secret), tokenRecord{t})
}

// Authenticate implements api.Service. What is looked for in the store is a hash, so it takes the same time for all that is wrong.
func (c *Control) Authenticate(ctx context.Context, token string) (api.Actor, error) {
	key, now := tokenKey(token), c.now()
	c.mu.Lock()
	cached, ok := c.tokens[key]
	c.mu.Unlock()
	if !ok || now.After(cached.until) {
		if c.wrongTokens.Tokens() < 1 {
			return api.Actor{}, wrong(http.StatusTooManyRequests, "authenticate", "too many wrong tokens: wait a moment")
		}
		record, _, found, err := read[tokenRecord](ctx, c, key)
		switch {
		case err != nil && ok && now.Sub(cached.until) < time.Hour:
			// Without a majority those who were known a while ago may look.
		case err != nil:
			return api.Actor{}, err
		case !found:
			c.wrongTokens.Allow()
			return api.Actor{}, wrong(http.StatusUnauthorized, "authenticate", "this token isn't known: wherry token create makes one; an administrator's was printed by wherry init")
		default:
			cached = cachedToken{record.Token, now.Add(tokenCached)}
			c.mu.Lock()
			if len(c.tokens) >= tokensMax {
				clear(c.tokens)
			}
			c.tokens[key] = cached
			c.mu.Unlock()
		}
	}
	if t := cached.token; !t.Expires.IsZero() && now.After(t.Expires) {
		return api.Actor{}, wrong(http.StatusUnauthorized, "authenticate", "the token %s expired at %s: wherry token create makes another", t.Name, t.Expires.Format(time.RFC3339))
	}
	return api.Actor{Name: cached.token.Name, Can: cached.token.Scope, Expires: cached.token.Expires}, nil
}

var tokenName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._@-]{0,62}$`)

// CreateToken implements api.Service.
func (c *Control) CreateToken(ctx context.Context, a api.Actor, r api.TokenRequest) (api.TokenCreated, error) {
	if err := may(a, api.Admin, ""); err != nil {
		return api.TokenCreated{}, c.auditRefusal(ctx, a, "token create", r.Name, "", err)
	}
	if !tokenName.MatchString(r.Name) {
		return api.TokenCreated{}, wrong(http.StatusBadRequest, "token", "%q: name it with letters, digits, and . _ @ -, such as ci-shop", r.Name)
	}
	if len(r.Scope.Verbs) == 0 {
		return api.TokenCreated{}, wrong(http.StatusBadRequest, "token", "say what the token may do: read, purge, deploy or admin")
	}
	for _, v := range r.Scope.Verbs {
		if !slices.Contains([]api.Verb{api.Read, api.Purge, api.Deploy, api.Admin}, v) {
			return api.TokenCreated{}, wrong(http.StatusBadRequest, "token", "%q is no verb: choose of read, purge, deploy and admin", v)
		}
	}
	if r.Life < 0 {
		return api.TokenCreated{}, wrong(http.StatusBadRequest, "token", "a token can't live for %s", r.Life)
	}
	all, err := c.allTokens(ctx)
	if err != nil {
		return api.TokenCreated{}, err
	}
	if _, ok := all[r.Name]; ok {
		return api.TokenCreated{}, wrong(http.StatusConflict, "token", "there is a token %s already: remove it, or choose another name", r.Name)
	}
	secret, now := NewToken(), c.now()
	p := c.tokenPut(r.Name, secret, r.Scope, a.Name, now, r.Life)
	_, err = c.o.Store.Commit(ctx, store.Txn{Put: []store.Put{p, c.audited(a, "token create", r.Name, "", "", fmt.Sprint(r.Scope), now)}})
	if err != nil {
		return api.TokenCreated{}, unavailable(err)
	}
	var record tokenRecord
	_ = json.Unmarshal(p.Value, &record)
	return api.TokenCreated{Token: record.Token, Secret: secret}, nil
}

// allTokens returns the tokens by name, with their keys.
func (c *Control) allTokens(ctx context.Context) (map[string]namedToken, error) {
	all := map[string]namedToken{}
	_, err := c.o.Store.All(ctx, prefixToken, func(kv store.KV) error {
		var r tokenRecord
		if json.Unmarshal(kv.Value, &r) == nil {
			all[r.Name] = namedToken{kv.Key, r.Token}
		}
		return nil
	})
	return all, unavailable(err)
}

type namedToken struct {
	key   string
	token api.Token
}

// Tokens implements api.Service.
func (c *Control) Tokens(ctx context.Context, a api.Actor) ([]api.Token, error) {
	if err := may(a, api.Admin, ""); err != nil {
		return nil, err
	}
	all, err := c.allTokens(ctx)
	list := []api.Token{}
	for _, t := range all {
		list = append(list, t.token)
	}
	slices.SortFunc(list, func(x, y api.Token) int { return strings.Compare(x.Name, y.Name) })
	return list, err
}

// RemoveToken implements api.Service.
func (c *Control) RemoveToken(ctx context.Context, a api.Actor, name string) error {
	if err := may(a, api.Admin, ""); err != nil {
		return c.auditRefusal(ctx, a, "token remove", name, "", err)
	}
	for {
		err := c.removeToken(ctx, a, name)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

func (c *Control) removeToken(ctx context.Context, a api.Actor, name string) error {
	all, err := c.allTokens(ctx)
	if err != nil {
		return err
	}
	t, ok := all[name]
	if !ok {
		return wrong(http.StatusNotFound, "token", "there is no token %s; wherry token list shows all", name)
	}
	admins := 0
	for _, o := range all {
		if o.token.Scope.Allows(api.Admin) && len(o.token.Scope.Sites) == 0 && o.token.Expires.IsZero() {
			admins++
		}
	}
	if admins == 1 && t.token.Scope.Allows(api.Admin) && len(t.token.Scope.Sites) == 0 && t.token.Expires.IsZero() {
		return wrong(http.StatusConflict, "token", "%s is the last administrator's token: create another one first", name)
	}
	revoked, revokedAt, _, err := read[feed.Revocations](ctx, c, keyRevoked)
	if err != nil {
		return err
	}
	now := c.now()
	revoked.Revoke(strings.TrimPrefix(t.key, prefixToken), now)
	change, err := c.revocations(ctx, &revoked, now)
	if err != nil {
		return err
	}
	_, err = c.publish(ctx, publication{Changes: []feed.Change{change}, Txn: store.Txn{
		If:     []store.Cond{store.Unchanged(keyRevoked, revokedAt)},
		Delete: []string{t.key},
		Put:    []store.Put{put(keyRevoked, revoked), c.audited(a, "token remove", name, "", fmt.Sprint(t.token.Scope), "", now)},
	}})
	c.mu.Lock()
	delete(c.tokens, t.key)
	c.mu.Unlock()
	return err
}
