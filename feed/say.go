package feed

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"time"

	"github.com/wherry/wherry/config"
)

// What objects hold, in JSON.

// SiteBundle is one revision of a site with the files that it names.
type SiteBundle struct {
	YAML  string       `json:"yaml"`            // the site alone, as in the list `sites` of wherry.yaml
	Files []BundleFile `json:"files,omitempty"` // what its file names stand for
}

// BundleFile is a file that a site names, such as its certificate.
type BundleFile struct {
	Name   string `json:"name"`   // as written in the YAML
	Object Hash   `json:"object"` // its content
	Size   int64  `json:"size"`
	Secret bool   `json:"secret,omitempty"` // control gives it only to nodes that serve the site
}

// Role is what a node does.
type Role string

// The roles.
const (
	RoleControl Role = "control"
	RoleEdge    Role = "edge"
	RoleDNS     Role = "dns"
	RoleCollect Role = "collect"
	RoleRelay   Role = "relay"

	// RoleTunnel and RoleOperator are of machines that are no nodes: they have a certificate of the network, a place in its overlay, and nothing
	// else. The one offers a service to edges, the other reaches services by nodes, each with a token that is good for it.
	RoleTunnel   Role = "tunnel"
	RoleOperator Role = "operator"
)

// NodeRecord is a node of the network.
type NodeRecord struct {
	Name      config.NodeID      `json:"name"`
	Cluster   config.ClusterName `json:"cluster"`
	Rack      string             `json:"rack,omitempty"` // nodes of one rack fall together
	Roles     []Role             `json:"roles"`
	Addresses []netip.Addr       `json:"addresses,omitempty"` // public ones, that DNS answers
	Mesh      string             `json:"mesh"`                // HOST:PORT where other nodes reach it
	Peer      string             `json:"peer,omitempty"`      // HOST:PORT of its member of the store, of role control
	Settings  string             `json:"settings,omitempty"`  // YAML: `listen`, `disk` as of a node in wherry.yaml
	Joined    time.Time          `json:"joined"`
}

// Revocations names who may not speak to anybody any more.
type Revocations struct {
	// Nodes maps a removed node to when it was removed: certificates that were issued before aren't good.
	Nodes map[config.NodeID]time.Time `json:"nodes"`
	// Tokens maps a removed token to when it was removed, by TokenHash of its secret. Who has been let in by it isn't any more.
	Tokens map[string]time.Time `json:"tokens,omitempty"`
}

const (
	// tokenRemembered is how long nodes are told of a removed token: longer than they remember what control has said of it, and certificates live that
	// it was good for.
	tokenRemembered = 24 * time.Hour
	// revokedTokensMax bounds those of which nodes are told; the oldest go first.
	revokedTokensMax = 4096
)

// Revoke adds a token to those of which nodes are told.
func (r *Revocations) Revoke(token string, now time.Time) {
	if r.Tokens == nil {
		r.Tokens = map[string]time.Time{}
	}
	oldest := token
	r.Tokens[token] = now.UTC()
	for other, when := range r.Tokens {
		if now.Sub(when) > tokenRemembered {
			delete(r.Tokens, other)
		} else if when.Before(r.Tokens[oldest]) {
			oldest = other
		}
	}
	if len(r.Tokens) > revokedTokensMax {
		delete(r.Tokens, oldest)
	}
}

// TokenHash is what a token is called where its secret may not stand. The secret is long and random: nobody guesses it from that.
func TokenHash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Software says which program a node runs.
type Software struct {
	Version string `json:"version"`
	Program Hash   `json:"program"` // of the executable, an object that control has (Ref.Local); zero: the one that each node was installed with
	Size    int64  `json:"size"`
}

// ControlAddresses are where nodes reach control.
type ControlAddresses struct {
	Mesh []string `json:"mesh"` // HOST:PORT each
}

// Report is what a node says of itself, upwards through the tree. The latest of a node counts.
type Report struct {
	Node     config.NodeID     `json:"node"`
	Boot     string            `json:"boot"`  // of this process: another one means that it was started again
	Count    uint64            `json:"count"` // numbers the reports of one boot
	At       time.Time         `json:"at"`    // by the node's clock
	Started  time.Time         `json:"started"`
	Position Position          `json:"position"` // everything up to here is done: documents adopted or refused, purges applied
	Version  string            `json:"version"`
	Program  Hash              `json:"program"`
	Own      bool              `json:"own,omitempty"` // the program is the one that the machine was installed with
	Roles    []Role            `json:"roles"`
	Config   string            `json:"config"`            // the revision of the configuration that it serves
	Holds    map[string]uint64 `json:"holds,omitempty"`   // the revision in use of documents that have variants or are refused
	Refused  []Refusal         `json:"refused,omitempty"` // documents that it couldn't use
	Alerts   []string          `json:"alerts,omitempty"`  // what a person should know, such as that it was away and serves on
	Sites    []SiteTally       `json:"sites,omitempty"`   // what it served, of sites that are watched
	Load     Load              `json:"load"`
	Parent   config.NodeID     `json:"parent,omitempty"` // from whom it gets the feed
	Doors    map[string]string `json:"doors,omitempty"`  // where it listens: http, https, dns, portal, mesh
	Away     bool              `json:"away,omitempty"`   // said by its parent, which lost it
}

// Refusal is a document that a node couldn't use, and goes on with what it had.
type Refusal struct {
	Key string `json:"key"`
	Ref Ref    `json:"ref"`
	Why string `json:"why"`
}

// SiteTally counts what a node served of a site since the process began, under the revision in use.
type SiteTally struct {
	Site      config.SiteName `json:"site"`
	Revision  uint64          `json:"revision"` // in use; the counts begin anew with each revision
	Since     time.Time       `json:"since"`    // when that revision was adopted
	Requests  uint64          `json:"requests"`
	Errors    uint64          `json:"errors"`              // answered with 5xx, or broken off
	Hits      uint64          `json:"hits"`                // answered from the store
	Rejected  uint64          `json:"rejected,omitempty"`  // answered with 4xx
	Latency   []uint64        `json:"latency,omitempty"`   // counts per bucket; bucket i is of times to the first byte below 2^i × 100 µs, the last has the rest
	Synthetic bool            `json:"synthetic,omitempty"` // no client asked; these are the node's own requests
}

// Load is how busy a node is.
type Load struct {
	CPU         float64 `json:"cpu"`         // cores in use by the process
	Memory      int64   `json:"memory"`      // resident, bytes
	Connections int64   `json:"connections"` // of clients
	Requests    float64 `json:"requests"`    // a second
}
