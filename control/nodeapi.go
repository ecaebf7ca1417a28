package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/mesh"
)

// What nodes ask control for over the mesh, below NodePrefix.
const (
	NodePrefix     = "/control/v1/"
	nodeBodyMax    = 1 << 20
	programTimeout = 10 * time.Minute
)

// raised is a head record in the next epoch. The log of the former one isn't in the new one: nodes take a checkpoint.
func raised(value []byte) ([]byte, error) {
	var h headRecord
	if err := json.Unmarshal(value, &h); err != nil {
		return nil, fmt.Errorf("the backup's head of the feed: %w", err)
	}
	h.Position.Epoch++
	return json.Marshal(h)
}

// NodeHandler answers nodes. Who they are the mesh has found out; a machine that joins is nobody yet.
func (c *Control) NodeHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+NodePrefix+"join", c.serveJoin)
	mux.HandleFunc("POST "+NodePrefix+"renew", c.serveRenew)
	mux.HandleFunc("GET "+NodePrefix+"secrets/{hash}", c.serveSecret)
	mux.HandleFunc("GET "+NodePrefix+"program-secrets/{id}", func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		c.giveSecret(w, r, id, func(node config.NodeID) ([]byte, error) { return c.ProgramSecretFor(r.Context(), node, id) })
	})
	mux.HandleFunc("GET "+NodePrefix+"programs/{hash}", c.serveProgram)
	mux.HandleFunc("GET "+NodePrefix+"members", c.serveMembers)
	mux.HandleFunc("GET "+NodePrefix+"nodes", c.serveNodes)
	return mux
}

// NodesAnswer is what a node of role collect is told.
type NodesAnswer struct {
	Position feed.Position    `json:"position"`
	Nodes    []api.NodeStatus `json:"nodes"`
}

func (c *Control) serveNodes(w http.ResponseWriter, r *http.Request) {
	who, ok := mesh.PeerOf(r)
	if !ok || !slices.Contains(who.Roles, feed.RoleCollect) {
		answer(w, nil, refused("how all nodes are is for nodes of role collect"))
		return
	}
	nodes, at := c.Nodes()
	answer(w, NodesAnswer{at, nodes}, nil)
}

// answer writes JSON, or an error as text with its status.
func answer(w http.ResponseWriter, value any, err error) {
	if err != nil {
		var f *fault.Error
		text := err.Error()
		if errors.As(err, &f) && f.Err != nil {
			text = f.Err.Error()
		}
		http.Error(w, text, statusOf(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // an error means that the node left
}

func (c *Control) serveJoin(w http.ResponseWriter, r *http.Request) {
	var request JoinRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, nodeBodyMax)).Decode(&request); err != nil {
		answer(w, nil, wrong(http.StatusBadRequest, "join", "not a request to join: %w; is this machine's wherry of another version?", err))
		return
	}
	a, err := c.Join(r.Context(), request)
	answer(w, a, err)
}

// Renewal is the answer to a request to renew.
type Renewal struct {
	Certificate []byte `json:"certificate"`
	Roots       []byte `json:"roots"`
}

func (c *Control) serveRenew(w http.ResponseWriter, r *http.Request) {
	who, _, ok := mesh.RenewingPeerOf(r)
	csr, err := io.ReadAll(http.MaxBytesReader(w, r.Body, nodeBodyMax))
	if !ok || err != nil {
		answer(w, nil, wrong(http.StatusForbidden, "renew", "a node shows its certificate and sends a request for another"))
		return
	}
	certificate, roots, err := c.Renew(r.Context(), who, csr)
	answer(w, Renewal{certificate, roots}, err)
}

func hashOf(w http.ResponseWriter, r *http.Request) (h feed.Hash, ok bool) {
	if err := h.UnmarshalText([]byte(r.PathValue("hash"))); err != nil {
		answer(w, nil, wrong(http.StatusBadRequest, "object", "%w", err))
		return h, false
	}
	return h, true
}

// serveSecret gives a secret of a site to a node that serves the site, and to nobody else.
func (c *Control) serveSecret(w http.ResponseWriter, r *http.Request) {
	if h, ok := hashOf(w, r); ok {
		c.giveSecret(w, r, h.String(), func(node config.NodeID) ([]byte, error) { return c.SecretFor(r.Context(), node, h) })
	}
}

// giveSecret gives a secret to an edge, if open does for that.
func (c *Control) giveSecret(w http.ResponseWriter, r *http.Request, name string, open func(config.NodeID) ([]byte, error)) {
	who, ok := mesh.PeerOf(r)
	if !ok || !slices.Contains(who.Roles, feed.RoleEdge) {
		c.log.Warn("a secret was asked for that isn't for who asks", "node", who.Node, "roles", who.Roles, "secret", name)
		answer(w, nil, refused("this secret isn't for this node"))
		return
	}
	secret, err := open(who.Node)
	if err != nil {
		answer(w, nil, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(secret) // an error means that the node left
}

func (c *Control) serveProgram(w http.ResponseWriter, r *http.Request) {
	h, ok := hashOf(w, r)
	if !ok {
		return
	}
	who, ok := mesh.PeerOf(r)
	if !ok {
		answer(w, nil, refused("programs are for nodes"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), programTimeout)
	defer cancel()
	if !slices.Contains(who.Roles, feed.RoleEdge) && !slices.Contains(who.Roles, feed.RoleControl) && !c.o.Keeper.Names(h, feed.KeyNetwork, feed.KeySoftware) { // an edge may be the one that tries it
		answer(w, nil, refused("no settings name %s", h))
		return
	}
	fetch := c.Program
	if slices.Contains(who.Roles, feed.RoleControl) && r.URL.Query().Has("own") { // of one that asks everybody, so that nobody asks in circles
		fetch = func(_ context.Context, h feed.Hash) (string, error) { return c.o.Keeper.ObjectPath(h) }
	}
	path, err := fetch(ctx, h)
	if err != nil {
		answer(w, nil, wrong(http.StatusNotFound, "program", "no control node has the program %s: upgrade again", h))
		return
	}
	f, err := os.Open(path)
	if err != nil {
		answer(w, nil, err)
		return
	}
	defer f.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("ETag", strconv.Quote(h.String())) // so that who was cut off goes on where he was (RFC 9110 §14)
	http.ServeContent(w, r, "", time.Time{}, f)
}

// Membership is what a control node that isn't a member of the store yet asks for.
type Membership struct {
	Added   bool              `json:"added"`   // it may start
	Members map[string]string `json:"members"` // peer URLs by name
}

func (c *Control) serveMembers(w http.ResponseWriter, r *http.Request) {
	who, ok := mesh.PeerOf(r)
	if !ok || !slices.Contains(who.Roles, feed.RoleControl) {
		answer(w, nil, refused("the store's members are for control nodes"))
		return
	}
	entry, _, ok, err := read[nodeEntry](r.Context(), c, prefixNode+string(who.Node))
	if err != nil || !ok {
		answer(w, nil, errors.Join(err, refused("no such node")))
		return
	}
	members, err := c.o.Store.Members(r.Context())
	m := Membership{Members: map[string]string{}}
	for _, member := range members {
		if member.Peer == "https://"+entry.Peer {
			m.Added = true
			m.Members[string(who.Node)] = member.Peer
		} else if member.Name != "" {
			m.Members[member.Name] = member.Peer
		}
	}
	answer(w, m, err)
}
