package feed

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
)

// Position is how far somebody is in the feed. A restore of control's store from a backup begins a new epoch, in which numbers may
// come again; so a later epoch goes before any number.
type Position struct {
	Epoch uint64 `json:"epoch"` // from 1
	Seq   uint64 `json:"seq"`   // of the last entry that was taken; 0: none yet
}

// Before says whether p comes before q.
func (p Position) Before(q Position) bool {
	return p.Epoch < q.Epoch || p.Epoch == q.Epoch && p.Seq < q.Seq
}

func (p Position) String() string { return fmt.Sprintf("%d.%d", p.Epoch, p.Seq) }

// Hash is a SHA-256: the name of an object, or of an entry.
type Hash [sha256.Size]byte

// HashOf names an object by its content.
func HashOf(object []byte) Hash { return sha256.Sum256(object) }

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// IsZero says whether h names nothing.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText implements encoding.TextMarshaler: 64 hexadecimal digits.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) != len(h) {
		return fmt.Errorf("%q is not a hash: want %d hexadecimal digits", text, 2*len(h))
	}
	_, err := hex.Decode(h[:], text)
	return err
}

// Ref points to one revision of a document: an object.
type Ref struct {
	Revision uint64 `json:"revision"`       // of the document, from 1
	Object   Hash   `json:"object"`         // its content
	Size     int64  `json:"size"`           // of the object, in bytes
	Local    bool   `json:"local,omitzero"` // the object isn't carried by the feed: ask control for it (a secret, or large)
}

// IsZero says whether r points to nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// Doc is what holds for a key: one revision for all nodes, and others for some, such as the candidate of a roll-out.
type Doc struct {
	Ref                // for all that no variant names; zero: nothing
	Variants []Variant `json:"variants,omitempty"` // the first that names a node counts
}

// Variant is what holds for some nodes instead.
type Variant struct {
	Nodes []config.NodeID `json:"nodes"`
	Ref                   // zero: nothing
}

// For returns what holds for a node; ok is false if that is nothing.
func (d *Doc) For(id config.NodeID) (ref Ref, ok bool) {
	for i := range d.Variants {
		if slices.Contains(d.Variants[i].Nodes, id) {
			return d.Variants[i].Ref, !d.Variants[i].IsZero()
		}
	}
	return d.Ref, !d.IsZero()
}

// The keys of documents. What stands behind a prefix is a name.
const (
	KeyNetwork  = "network"  // the network's settings without sites and nodes: YAML
	KeyRevoked  = "revoked"  // who was removed: a Revocations in JSON
	KeySoftware = "software" // which program nodes run: a Software in JSON
	KeyControl  = "control"  // where control is: a ControlAddresses in JSON
	PrefixSite  = "site/"    // a site: a SiteBundle in JSON
	PrefixNode  = "node/"    // a node: a NodeRecord in JSON
	PrefixValue = "value/"   // values of programs: a page or shard of room kv
)

// SiteKey is the key of a site's document.
func SiteKey(name config.SiteName) string { return PrefixSite + string(name) }

// NodeKey is the key of a node's document.
func NodeKey(id config.NodeID) string { return PrefixNode + string(id) }

// Change sets or removes one document.
type Change struct {
	Key string `json:"key"`
	Doc *Doc   `json:"doc,omitempty"` // nil removes it
}

// PurgeKind says what a purge is of.
type PurgeKind string

// The kinds of purges.
const (
	PurgeURL    PurgeKind = "url"    // Value is an absolute URL; all its variants, http and https
	PurgePrefix PurgeKind = "prefix" // Value is an absolute URL, of which all that begins with it goes
	PurgeTag    PurgeKind = "tag"    // Value is a tag of Cache-Tag, Surrogate-Key or Cache-Groups; Site may narrow it
	PurgeSite   PurgeKind = "site"   // all of Site
	PurgeAll    PurgeKind = "all"
)

// Purge says what caches may not use any more as it is.
type Purge struct {
	Kind  PurgeKind       `json:"kind"`
	Value string          `json:"value,omitempty"`
	Site  config.SiteName `json:"site,omitempty"`
	Soft  bool            `json:"soft,omitempty"` // it becomes stale instead of being gone
}

// Entry is one step of the log. All its changes hold at once, before its purge.
type Entry struct {
	Position Position  `json:"position"`
	Prev     Hash      `json:"prev"` // of the signed bytes of the entry before it, also where an epoch begins; zero for the first of all
	At       time.Time `json:"at"`   // when control wrote it, by its clock
	Changes  []Change  `json:"changes,omitempty"`
	Purge    *Purge    `json:"purge,omitempty"`
}
