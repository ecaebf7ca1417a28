package api

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// Actor is who asks, as its token says.
type Actor struct {
	Name    string // of the token, or of the node
	Can     Scope
	Expires time.Time // of the token; zero: never
}

// Verb is what a token may do.
type Verb string

// The verbs. Admin may all; deploy may read, apply, roll out and purge.
const (
	Read   Verb = "read"
	Purge  Verb = "purge"
	Deploy Verb = "deploy"
	Admin  Verb = "admin"
)

// Scope is what a token may do, and to which sites.
type Scope struct {
	Verbs []Verb            `json:"verbs"`
	Sites []config.SiteName `json:"sites,omitempty"` // none: all
}

// String says it for people, such as in the audit log.
func (s Scope) String() string {
	text := fmt.Sprint(s.Verbs)
	if len(s.Sites) > 0 {
		text += fmt.Sprint(" on ", s.Sites)
	}
	return text
}

// Allows says whether a token may do what needs verb, to sites that the scope names.
func (s Scope) Allows(verb Verb) bool {
	for _, can := range s.Verbs {
		if can == verb || can == Admin || can == Deploy && (verb == Read || verb == Purge) {
			return true
		}
	}
	return false
}

// Of says whether the scope is of a site.
func (s Scope) Of(site config.SiteName) bool {
	return len(s.Sites) == 0 || slices.Contains(s.Sites, site)
}

// Self is who asks.
type Self struct {
	Name    string    `json:"name"` // of the token
	Scope   Scope     `json:"scope"`
	Expires time.Time `json:"expires,omitzero"`
}

// Service is what control does for people. The actor has been authenticated; the service checks what it may.
type Service interface {
	Authenticate(ctx context.Context, token string) (Actor, error)

	// Apply makes documents hold, through a roll-out unless it is an emergency. With DryRun it only says what it would do.
	Apply(ctx context.Context, a Actor, r ApplyRequest) (ApplyResult, error)
	Sites(ctx context.Context, a Actor, q SiteQuery) ([]Site, error) // by name
	Site(ctx context.Context, a Actor, name config.SiteName) (SiteDetail, error)
	History(ctx context.Context, a Actor, name string) ([]Revision, error)
	Revision(ctx context.Context, a Actor, name string, number uint64) (RevisionDetail, error)
	Rollback(ctx context.Context, a Actor, r RollbackRequest) (ApplyResult, error)
	RemoveSite(ctx context.Context, a Actor, r RemoveRequest) (ApplyResult, error)
	Export(ctx context.Context, a Actor, withSecrets bool) (Export, error)

	Rollouts(ctx context.Context, a Actor) ([]Rollout, error) // those under way and the latest that ended, newest first
	Rollout(ctx context.Context, a Actor, id string) (Rollout, error)
	SteerRollout(ctx context.Context, a Actor, id string, how Steering) (Rollout, error)
	Upgrade(ctx context.Context, a Actor, r UpgradeRequest, program io.Reader) (ApplyResult, error)

	Purge(ctx context.Context, a Actor, r PurgeRequest) (PurgeResult, error)

	Status(ctx context.Context, a Actor) (Status, error)
	RemoveNode(ctx context.Context, a Actor, r RemoveNodeRequest) (RemoveNodeResult, error)
	ChangeNode(ctx context.Context, a Actor, r ChangeNodeRequest) (ChangeNodeResult, error)
	CreateJoinToken(ctx context.Context, a Actor, r JoinTokenRequest) (JoinToken, error)
	Grow(ctx context.Context, a Actor, r GrowRequest) (Status, error)
	Backup(ctx context.Context, a Actor, w io.Writer) error

	CreateToken(ctx context.Context, a Actor, r TokenRequest) (TokenCreated, error)
	Tokens(ctx context.Context, a Actor) ([]Token, error)
	RemoveToken(ctx context.Context, a Actor, name string) error
	Audit(ctx context.Context, a Actor, q AuditQuery) ([]AuditRecord, error)

	Ways
	Tunnels
	Images
	Secrets
}

// Document is one thing to apply: a site, or the network's settings.
type Document struct {
	Name  string `json:"name"` // of the site; "network" is the network's settings
	YAML  string `json:"yaml"`
	Files []File `json:"files,omitempty"` // what the file names in it stand for
	// Base is the revision that was edited; if another one holds by now, the apply is refused with the difference. 0: the site is new.
	// nil: whatever holds.
	Base *uint64 `json:"base,omitempty"`
}

// File is a file that a document names.
type File struct {
	Name    string `json:"name"`
	Content []byte `json:"content"`
}

// ApplyRequest is what is to hold.
type ApplyRequest struct {
	Documents []Document `json:"documents"`
	Message   string     `json:"message,omitempty"`   // why, for the history
	Emergency bool       `json:"emergency,omitempty"` // everywhere at once, without phases
	DryRun    bool       `json:"dry_run,omitempty"`
	Wait      bool       `json:"wait,omitempty"` // answer when the roll-out has ended, or every live edge serves it
}

// ApplyResult is what was done.
type ApplyResult struct {
	Documents []Applied       `json:"documents"`
	Rollouts  []string        `json:"rollouts,omitempty"` // that carry it out
	Position  feed.Position   `json:"position"`           // in the feed
	Serving   []config.NodeID `json:"serving,omitempty"`  // who has confirmed, if it was waited for
	Away      []config.NodeID `json:"away,omitempty"`     // who wasn't there
	Took      time.Duration   `json:"took"`               // nanoseconds
	Warnings  []string        `json:"warnings,omitempty"`
}

// Applied is what became of one document.
type Applied struct {
	Name     string `json:"name"`
	Revision uint64 `json:"revision"`
	Before   uint64 `json:"before"` // the revision that held; 0: none
	Changed  bool   `json:"changed"`
	Diff     string `json:"diff,omitempty"` // unified
}

// SiteQuery narrows a list of sites.
type SiteQuery struct {
	Contains string          `json:"contains,omitempty"` // in the name or in a host
	After    config.SiteName `json:"after,omitempty"`    // begin behind this name
	Limit    int             `json:"limit,omitempty"`    // at most so many; 0: all
}

// Site is a site in a list.
type Site struct {
	Name      config.SiteName      `json:"name"`
	Hosts     []config.HostPattern `json:"hosts"`
	Revision  uint64               `json:"revision"`            // that holds
	Candidate uint64               `json:"candidate,omitempty"` // that is rolled out
	Rollout   string               `json:"rollout,omitempty"`
	Author    string               `json:"author"`
	At        time.Time            `json:"at"`
	Message   string               `json:"message,omitempty"`
}

// SiteDetail is a site as it holds.
type SiteDetail struct {
	Site
	YAML  string   `json:"yaml"`
	Files []string `json:"files,omitempty"` // names
}

// Revision is one immutable revision of a document.
type Revision struct {
	Number  uint64    `json:"number"`
	Author  string    `json:"author"`
	At      time.Time `json:"at"`
	Message string    `json:"message,omitempty"`
	State   string    `json:"state"` // current, candidate, past, reverted, removed
	Hash    feed.Hash `json:"hash"`
}

// RevisionDetail is a revision with its text.
type RevisionDetail struct {
	Revision
	YAML  string   `json:"yaml"`
	Files []string `json:"files,omitempty"`
}

// RollbackRequest asks for an earlier revision's content as a new revision.
type RollbackRequest struct {
	Name      string `json:"name"`
	To        uint64 `json:"to,omitempty"` // 0: the one that held before
	Message   string `json:"message,omitempty"`
	Emergency bool   `json:"emergency,omitempty"`
	Wait      bool   `json:"wait,omitempty"`
}

// RemoveRequest asks to take a site away.
type RemoveRequest struct {
	Name    config.SiteName `json:"name"`
	Message string          `json:"message,omitempty"`
}

// Export is the whole network as files that can be applied again.
type Export struct {
	Files []File `json:"files"` // network.yaml, sites/NAME.yaml, and what they name
}

// Steering is what a person does to a roll-out.
type Steering string

// The ways to steer.
const (
	Pause  Steering = "pause"
	Resume Steering = "resume"
	Abort  Steering = "abort"
)

// Rollout is how far a change has come.
type Rollout struct {
	ID      string    `json:"id"`
	Subject string    `json:"subject"` // "site/shop", "network", "software"
	From    uint64    `json:"from"`
	To      uint64    `json:"to"`
	Version string    `json:"version,omitempty"` // of software
	Author  string    `json:"author"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	State   string    `json:"state"`         // running, paused, done, reverted, aborted
	Phase   string    `json:"phase"`         // canary, cluster, quarter, all
	Why     string    `json:"why,omitempty"` // of its state
	Phases  []Phase   `json:"phases"`
	Gate    *Gate     `json:"gate,omitempty"` // of the present phase, if one roll-out is asked for and is under way
}

// Phase is one step of a roll-out.
type Phase struct {
	Name    string          `json:"name"`
	Nodes   []config.NodeID `json:"nodes"`
	Began   time.Time       `json:"began,omitzero"`
	Ended   time.Time       `json:"ended,omitzero"`
	Verdict string          `json:"verdict,omitempty"`
}

// Gate is what the gate sees of a phase now. What it said in the end is the phase's verdict.
type Gate struct {
	Nodes   int    `json:"nodes"`   // of the phase
	Adopted int    `json:"adopted"` // of them have the change
	With    Sample `json:"with"`    // what those did since
	Before  Sample `json:"before"`  // what the same nodes did before
	Others  Sample `json:"others"`  // what nodes without the change did since the phase began
}

// Sample counts requests, of clients and the nodes' own.
type Sample struct {
	Requests uint64        `json:"requests"`
	Errors   uint64        `json:"errors"`   // answered with 5xx, or broken off
	Rejected uint64        `json:"rejected"` // answered with 4xx
	Hits     uint64        `json:"hits"`     // answered from the cache
	Median   time.Duration `json:"median"`   // nanoseconds, to the first byte, rounded up to a power of two of 100 µs; 0: unknown
}

// UpgradeRequest asks for a program on nodes. The program itself is sent beside it.
type UpgradeRequest struct {
	Version   string          `json:"version,omitempty"` // default: what the program says of itself
	Back      bool            `json:"back,omitempty"`    // to the version that held before; no program is sent
	Nodes     []config.NodeID `json:"nodes,omitempty"`   // default: all
	Emergency bool            `json:"emergency,omitempty"`
	Message   string          `json:"message,omitempty"`
	Wait      bool            `json:"wait,omitempty"`
}

// PurgeRequest is what caches may not use any more.
type PurgeRequest struct {
	feed.Purge
	Wait time.Duration `json:"wait,omitempty"` // for confirmations, at most; default 10 s
}

// PurgeResult says who has confirmed.
type PurgeResult struct {
	Purge     feed.Purge      `json:"purge"`
	Position  feed.Position   `json:"position"`
	Confirmed []NodePurge     `json:"confirmed"`
	Away      []config.NodeID `json:"away"`    // were not there; they catch up before they serve
	Pending   []config.NodeID `json:"pending"` // there, but didn't confirm in time
	Took      time.Duration   `json:"took"`    // nanoseconds, to the last confirmation
}

// NodePurge is a node's confirmation.
type NodePurge struct {
	Node config.NodeID `json:"node"`
	Took time.Duration `json:"took"` // nanoseconds, from the request
}

// Status is the whole network at a glance.
type Status struct {
	Version  string        `json:"version"`
	Position feed.Position `json:"position"`
	Nodes    []NodeStatus  `json:"nodes"`
	Control  ControlStatus `json:"control"`
	Rollouts []Rollout     `json:"rollouts,omitempty"` // under way
	Alerts   []string      `json:"alerts,omitempty"`
}

// ControlStatus is the state of the store.
type ControlStatus struct {
	Node    config.NodeID `json:"node"`   // that answers
	Leader  config.NodeID `json:"leader"` // of the leader-only work; empty: none now
	Members []StoreMember `json:"members,omitempty"`
	Quorum  bool          `json:"quorum"`
	Backup  time.Time     `json:"backup,omitzero"` // the last snapshot on this node
}

// StoreMember is a member of the store.
type StoreMember struct {
	Name    config.NodeID `json:"name"`
	Peer    string        `json:"peer"`
	Learner bool          `json:"learner,omitempty"`
	Healthy bool          `json:"healthy"`
}

// NodeStatus is one node.
type NodeStatus struct {
	feed.NodeRecord
	Live   bool         `json:"live"`
	Seen   time.Time    `json:"seen,omitzero"` // its last report arrived
	Report *feed.Report `json:"report,omitempty"`
	Lags   []string     `json:"lags,omitempty"` // what it hasn't yet, and why
}

// RemoveNodeRequest asks to cut a node off for good.
type RemoveNodeRequest struct {
	Node    config.NodeID `json:"node"`
	Message string        `json:"message,omitempty"`
}

// RemoveNodeResult says who knows by now.
type RemoveNodeResult struct {
	Node      config.NodeID   `json:"node"`
	Position  feed.Position   `json:"position"`
	Confirmed []config.NodeID `json:"confirmed"`
	Away      []config.NodeID `json:"away,omitempty"`
}

// ChangeNodeRequest says what is to be otherwise with a node. What is left out stays.
type ChangeNodeRequest struct {
	Node      config.NodeID      `json:"node"`
	Cluster   config.ClusterName `json:"cluster,omitempty"`
	Rack      *string            `json:"rack,omitempty"` // empty: in none
	Addresses []netip.Addr       `json:"addresses,omitempty"`
	Roles     []feed.Role        `json:"roles,omitempty"` // control can be neither given nor taken
	Mesh      string             `json:"mesh,omitempty"`  // HOST:PORT where other nodes reach it
	// Forward is overlay.forward of the node's configuration; empty: none.
	Forward *[]config.ForwardTarget `json:"forward,omitempty"`
	Message string                  `json:"message,omitempty"`
}

// ChangeNodeResult is the node as it is to be now, and who knows.
type ChangeNodeResult struct {
	feed.NodeRecord
	Position  feed.Position   `json:"position,omitzero"` // zero: there was nothing to change
	Confirmed []config.NodeID `json:"confirmed"`
	Away      []config.NodeID `json:"away,omitempty"`
}

// JoinTokenRequest asks for a token that lets one node join.
type JoinTokenRequest struct {
	Roles []feed.Role   `json:"roles,omitempty"` // that it may take; none: edge, dns, relay and collect
	Node  config.NodeID `json:"node,omitempty"`  // that it must be called; empty: any
	Life  time.Duration `json:"life,omitempty"`  // nanoseconds; default 1 h
	Uses  int           `json:"uses,omitempty"`  // default 1
}

// JoinToken is what a node needs to join.
type JoinToken struct {
	Token   string    `json:"token"`
	Server  string    `json:"server"`
	Expires time.Time `json:"expires"`
	Command string    `json:"command"` // to paste
}

// GrowRequest asks to make a node of role control a member of the store.
type GrowRequest struct {
	Nodes []config.NodeID `json:"nodes"`
}

// TokenRequest asks for a token for the API.
type TokenRequest struct {
	Name  string        `json:"name"`
	Scope Scope         `json:"scope"`
	Life  time.Duration `json:"life,omitempty"` // nanoseconds; 0: until it is removed
}

// TokenCreated is the only time that a token is shown.
type TokenCreated struct {
	Token  Token  `json:"token"`
	Secret string `json:"secret"`
}

// Token is a token without its secret.
type Token struct {
	Name    string    `json:"name"`
	Scope   Scope     `json:"scope"`
	Created time.Time `json:"created"`
	By      string    `json:"by"`
	Expires time.Time `json:"expires,omitzero"`
}

// AuditQuery narrows what is asked for.
type AuditQuery struct {
	Limit   int       `json:"limit,omitempty"`   // default 100, at most 1000
	Subject string    `json:"subject,omitempty"` // such as site/shop
	Actor   string    `json:"actor,omitempty"`
	Before  time.Time `json:"before,omitzero"` // what was earlier than this
}

// AuditRecord is one change: who did what, and what was before and after.
type AuditRecord struct {
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Action  string    `json:"action"`  // such as apply, purge, node remove
	Subject string    `json:"subject"` // such as site/shop
	Message string    `json:"message,omitempty"`
	Before  string    `json:"before,omitempty"`
	After   string    `json:"after,omitempty"`
	Refused string    `json:"refused,omitempty"` // why it was refused
}
