package control

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/mesh"
)

const (
	prefixJoin = "join/"
	prefixNode = "node/"
	keyRevoked = "revoked"

	joinLife    = time.Hour
	joinLifeMax = 30 * 24 * time.Hour
	joinUsesMax = 10_000
)

// joinRecord is a join token, under its id.
type joinRecord struct {
	Secret  []byte        `json:"secret"` // SHA-256
	Roles   []feed.Role   `json:"roles"`
	Node    config.NodeID `json:"node,omitempty"`
	Uses    int           `json:"uses"` // left
	Expires time.Time     `json:"expires"`
	By      string        `json:"by"`
}

// nodeEntry is a node, with the key that its certificates are for.
type nodeEntry struct {
	feed.NodeRecord
	Key []byte `json:"key"` // SHA-256 of the public key
	// Issued is what the latest certificate says of when it was issued. A removal isn't before it, whatever the clocks of the control nodes say that
	// issued the one and made the other.
	Issued time.Time `json:"issued,omitzero"`
}

// CreateJoinToken implements api.Service.
func (c *Control) CreateJoinToken(ctx context.Context, a api.Actor, r api.JoinTokenRequest) (api.JoinToken, error) {
	if err := may(a, api.Admin, ""); err != nil {
		return api.JoinToken{}, c.auditRefusal(ctx, a, "node token", string(r.Node), "", err)
	}
	if len(r.Roles) == 0 {
		r.Roles = []feed.Role{feed.RoleEdge, feed.RoleDNS, feed.RoleRelay, feed.RoleCollect}
	}
	for _, role := range r.Roles {
		if err := checkRole(role); err != nil {
			return api.JoinToken{}, err
		}
	}
	if r.Life == 0 {
		r.Life = joinLife
	}
	if r.Uses == 0 {
		r.Uses = 1
	}
	if r.Life < 0 || r.Life > joinLifeMax || r.Uses < 0 || r.Uses > joinUsesMax {
		return api.JoinToken{}, wrong(http.StatusBadRequest, "node token", "a join token lives for at most %s, and is good for 1 to %d nodes", joinLifeMax, joinUsesMax)
	}
	servers := c.controlAddresses()
	if len(servers) == 0 {
		return api.JoinToken{}, wrong(http.StatusServiceUnavailable, "node token", "no control node is known yet: try again in a moment")
	}
	token := mesh.NewJoinToken(servers, c.o.Authority.Pin())
	now := c.now()
	sum := sha256.Sum256([]byte(token.Secret))
	record := joinRecord{sum[:], r.Roles, r.Node, r.Uses, now.Add(r.Life).UTC(), a.Name}
	_, err := c.o.Store.Commit(ctx, store.Txn{Put: []store.Put{
		put(prefixJoin+token.ID, record), c.audited(a, "node token", string(r.Node), "", "", fmt.Sprint(r.Roles), now),
	}})
	text := token.Text()
	return api.JoinToken{
		Token: text, Server: strings.Join(servers, ","), Expires: record.Expires, Command: "wherry join --token " + text,
	}, unavailable(err)
}

func checkRole(role feed.Role) error {
	if !slices.Contains([]feed.Role{feed.RoleControl, feed.RoleEdge, feed.RoleDNS, feed.RoleCollect, feed.RoleRelay}, role) {
		return wrong(http.StatusBadRequest, "node", "%q is no role: choose of control, edge, dns, collect and relay", role)
	}
	return nil
}

// controlAddresses are where control nodes are reached over the mesh.
func (c *Control) controlAddresses() (list []string) {
	for _, n := range c.records() {
		if slices.Contains(n.Roles, feed.RoleControl) {
			list = append(list, n.Mesh)
		}
	}
	return list
}

// records returns all nodes, by name.
func (c *Control) records() (list []feed.NodeRecord) {
	for key, ref := range c.latest(feed.PrefixNode) {
		data, err := c.o.Keeper.Object(ref.Object)
		var r feed.NodeRecord
		if err != nil || json.Unmarshal(data, &r) != nil {
			c.log.Debug("a node's record isn't here yet", "key", key, "error", err)
			continue
		}
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b feed.NodeRecord) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return list
}

// memberChange is what makes a node known.
func (c *Control) memberChange(ctx context.Context, r feed.NodeRecord, now time.Time) (feed.Change, []store.Put, error) {
	if r.Joined.IsZero() {
		r.Joined = now.UTC()
	}
	data, err := json.Marshal(r)
	if err != nil {
		return feed.Change{}, nil, err
	}
	h, err := c.putObject(ctx, data)
	if err != nil {
		return feed.Change{}, nil, err
	}
	key := feed.NodeKey(r.Name)
	doc := &feed.Doc{Ref: feed.Ref{Revision: max(uint64(now.Unix()), c.latest(key)[key].Revision+1), Object: h, Size: int64(len(data))}}
	return feed.Change{Key: key, Doc: doc}, nil, nil
}

// JoinRequest is what a machine shows that wants to be a node.
type JoinRequest struct {
	ID     string          `json:"id"` // of the token
	Secret string          `json:"secret"`
	CSR    []byte          `json:"csr"` // PKCS #10, DER
	Node   feed.NodeRecord `json:"node"`
}

// JoinAnswer makes it one.
type JoinAnswer struct {
	Network     string          `json:"network"`
	Certificate []byte          `json:"certificate"` // PEM, with the authority's behind it
	Roots       []byte          `json:"roots"`       // PEM
	FeedKeys    [][]byte        `json:"feed_keys"`   // Ed25519
	Control     []string        `json:"control"`     // mesh addresses
	Checkpoint  feed.Checkpoint `json:"checkpoint"`
	Keys        *Keys           `json:"keys,omitempty"` // for a control node
}

// Keys are what control nodes alone have.
type Keys struct {
	AuthorityCert []byte `json:"authority_cert"` // PEM
	AuthorityKey  []byte `json:"authority_key"`
	Feed          []byte `json:"feed"`   // Ed25519 seed
	Secret        []byte `json:"secret"` // AES-256
}

// Join lets a machine become a node, if it shows a token that is good for that.
func (c *Control) Join(ctx context.Context, r JoinRequest) (JoinAnswer, error) {
	if c.wrongTokens.Tokens() < 1 {
		return JoinAnswer{}, wrong(http.StatusTooManyRequests, "join", "too many wrong tokens: wait a moment")
	}
	now := c.now()
	for {
		record, at, ok, err := read[joinRecord](ctx, c, prefixJoin+r.ID)
		if err != nil {
			return JoinAnswer{}, err
		}
		if err := c.checkJoin(&record, ok, &r, now); err != nil {
			return JoinAnswer{}, c.auditRefusal(ctx, api.Actor{Name: "join token " + r.ID}, "join", feed.NodeKey(r.Node.Name), "", err)
		}
		answer, err := c.admit(ctx, &record, at, &r, now)
		if !errors.Is(err, store.ErrConflict) {
			return answer, err
		}
	}
}

// checkJoin says why a token isn't good for a node.
func (c *Control) checkJoin(t *joinRecord, found bool, r *JoinRequest, now time.Time) error {
	sum := sha256.Sum256([]byte(r.Secret))
	if !found || subtle.ConstantTimeCompare(sum[:], t.Secret) != 1 {
		c.wrongTokens.Allow()
		return wrong(http.StatusForbidden, "join", "this join token isn't known, or was used already: wherry node token prints a new one")
	}
	if now.After(t.Expires) {
		return wrong(http.StatusForbidden, "join", "this join token expired at %s, and the clock of %s says %s: wherry node token prints a new one",
			t.Expires.Format(time.RFC3339), c.o.Self, now.UTC().Format(time.RFC3339))
	}
	if t.Node != "" && t.Node != r.Node.Name {
		return wrong(http.StatusForbidden, "join", "this join token is for the node %s: join with --name %s", t.Node, t.Node)
	}
	for _, role := range r.Node.Roles {
		if !slices.Contains(t.Roles, role) {
			if err := checkRole(role); err != nil {
				return err
			}
			return wrong(http.StatusForbidden, "join", "this join token is for the roles %v, not for %s: wherry node token --roles %s prints another", t.Roles, role, role)
		}
	}
	if !config.IsLabel(string(r.Node.Name)) {
		return wrong(http.StatusBadRequest, "join", "%.80q can't be the name of a node: write a DNS label, such as lisbon-1", r.Node.Name)
	}
	if err := checkRecord(&r.Node); err != nil {
		return err
	}
	if _, problems := config.ParseNode("settings", []byte(orEmptyYAML(r.Node.Settings))); problems.Err() != nil {
		return wrong(http.StatusBadRequest, "join", "settings of the node: %w", problems.Err())
	}
	return nil
}

// checkRecord says what can't be of a node, besides its name and settings.
func checkRecord(r *feed.NodeRecord) error {
	for i, role := range r.Roles {
		if err := checkRole(role); err != nil {
			return err
		}
		if slices.Contains(r.Roles[:i], role) {
			return wrong(http.StatusBadRequest, "node", "the role %s is named twice", role)
		}
	}
	host, _, err := net.SplitHostPort(r.Mesh)
	switch {
	case len(r.Roles) == 0:
		return wrong(http.StatusBadRequest, "node", "a node has at least one role: choose of control, edge, dns, collect and relay")
	case !config.IsLabel(string(r.Cluster)):
		return wrong(http.StatusBadRequest, "node", "%.80q can't be the name of a cluster: write a DNS label, such as lisbon", r.Cluster)
	case err != nil || host == "":
		return wrong(http.StatusBadRequest, "node", "%.80q isn't where other nodes reach it: say so with --mesh-at HOST:PORT", r.Mesh)
	}
	return nil
}

func orEmptyYAML(text string) string {
	if strings.TrimSpace(text) == "" {
		return "{}"
	}
	return text
}

// admit makes the node known and uses the token up, at once.
func (c *Control) admit(ctx context.Context, t *joinRecord, at store.Revision, r *JoinRequest, now time.Time) (JoinAnswer, error) {
	revoked, revokedAt, _, err := read[feed.Revocations](ctx, c, keyRevoked)
	if err != nil {
		return JoinAnswer{}, err
	}
	issued := after(now, revoked.Nodes[r.Node.Name])
	certificate, err := c.o.Authority.Issue(r.CSR, mesh.Who{Node: r.Node.Name, Roles: r.Node.Roles, Issued: issued}, now)
	if err != nil {
		return JoinAnswer{}, wrong(http.StatusBadRequest, "join", "%w", err)
	}
	if _, _, taken, err := read[nodeEntry](ctx, c, prefixNode+string(r.Node.Name)); err != nil || taken {
		if err == nil {
			err = wrong(http.StatusConflict, "join", "there is a node %s already: choose another --name, or remove the old one with wherry node remove %s", r.Node.Name, r.Node.Name)
		}
		return JoinAnswer{}, c.auditRefusal(ctx, api.Actor{Name: "join token " + r.ID}, "join", feed.NodeKey(r.Node.Name), "", err)
	}
	change, puts, err := c.memberChange(ctx, r.Node, now)
	if err != nil {
		return JoinAnswer{}, err
	}
	p := publication{Changes: []feed.Change{change}, Txn: store.Txn{
		If: []store.Cond{
			store.Unchanged(prefixJoin+r.ID, at), store.Absent(prefixNode + string(r.Node.Name)), store.Unchanged(keyRevoked, revokedAt),
		},
		Put: append(puts, put(prefixNode+string(r.Node.Name), nodeEntry{r.Node, mesh.KeyOfRequest(r.CSR), issued}),
			c.audited(api.Actor{Name: "join token " + r.ID + " of " + t.By}, "join", feed.NodeKey(r.Node.Name), "", "", fmt.Sprint(r.Node.Roles), now)),
	}}
	if t.Uses--; t.Uses <= 0 {
		p.Delete = append(p.Delete, prefixJoin+r.ID)
	} else {
		p.Put = append(p.Put, put(prefixJoin+r.ID, t))
	}
	if _, err := c.publish(ctx, p); err != nil {
		return JoinAnswer{}, err
	}
	return c.welcome(ctx, r, certificate)
}

// welcome tells a new node what it needs.
func (c *Control) welcome(ctx context.Context, r *JoinRequest, certificate []byte) (JoinAnswer, error) {
	settings, err := c.settings(ctx)
	if err != nil {
		return JoinAnswer{}, err
	}
	answer := JoinAnswer{
		Network: string(settings.Zone), Certificate: certificate, Roots: c.o.Authority.PEM(), FeedKeys: [][]byte{c.o.Signer.Key()},
		Control: c.controlAddresses(),
	}
	c.o.Keeper.View(func(s *feed.State) { answer.Checkpoint, err = c.o.Signer.Checkpoint(s) })
	if err == nil && slices.Contains(r.Node.Roles, feed.RoleControl) {
		answer.Keys, err = c.keys()
	}
	return answer, err
}

func (c *Control) keys() (*Keys, error) {
	cert, key, err := c.o.Authority.Export()
	return &Keys{cert, key, c.o.Signer.Seed(), c.o.Secret}, err
}
