package node

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/wherry/wherry/certs"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// SettingsName is the file in a node's directory that says what the node is. A directory without it is no node's.
const SettingsName = "node.json"

// Settings are what a machine knows of itself before it has heard of the network.
type Settings struct {
	Name      config.NodeID      `json:"name"`
	Cluster   config.ClusterName `json:"cluster"`
	Rack      string             `json:"rack,omitempty"`
	Roles     []feed.Role        `json:"roles"`
	Addresses []netip.Addr       `json:"addresses,omitempty"` // that DNS answers
	Mesh      string             `json:"mesh"`                // where it listens for other nodes, HOST:PORT
	MeshAt    string             `json:"mesh_at,omitempty"`   // where others reach that, if it is elsewhere
	Peer      string             `json:"peer,omitempty"`      // where its member of the store listens, of role control
	PeerAt    string             `json:"peer_at,omitempty"`   // where others reach that, if it is elsewhere
	Listen    config.Listen      `json:"listen"`
	Disk      []config.Volume    `json:"disk,omitempty"`
	// Forward is where the node connects to for `wherry overlay forward`, beyond its own loopback.
	Forward []config.ForwardTarget `json:"forward,omitempty"`

	// What it was told when it joined.
	Network  string   `json:"network,omitempty"`
	Control  []string `json:"control,omitempty"`   // mesh addresses of control nodes
	FeedKeys [][]byte `json:"feed_keys,omitempty"` // Ed25519, of who signs the feed
	Store    External `json:"store,omitzero"`      // of role control
}

// External is an etcd cluster that somebody else runs.
type External struct {
	Endpoints []string `json:"endpoints,omitempty"`
	CA        string   `json:"ca,omitempty"` // files
	Cert      string   `json:"cert,omitempty"`
	Key       string   `json:"key,omitempty"`
	User      string   `json:"user,omitempty"`
	Password  string   `json:"password,omitempty"`
}

func (s *Settings) has(role feed.Role) bool { return slices.Contains(s.Roles, role) }

// meshAt is where other nodes reach this one.
func (s *Settings) meshAt() string {
	if s.MeshAt != "" {
		return s.MeshAt
	}
	return s.Mesh
}

func (s *Settings) peerAt() string {
	if s.PeerAt != "" {
		return s.PeerAt
	}
	return s.Peer
}

// Check says what is wrong with what the user gave.
func (s *Settings) Check() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !config.IsLabel(string(s.Name)) {
		wrong("--name %q: write a DNS label, such as lisbon-1", s.Name)
	}
	if !config.IsLabel(string(s.Cluster)) {
		wrong("--cluster %q: write a DNS label, such as lisbon", s.Cluster)
	}
	if len(s.Roles) == 0 {
		wrong("--roles: say what the node does: control, edge, dns, relay")
	}
	for _, role := range s.Roles {
		if !slices.Contains([]feed.Role{feed.RoleControl, feed.RoleEdge, feed.RoleDNS, feed.RoleCollect, feed.RoleRelay}, role) {
			wrong("--roles %q: choose of control, edge, dns, collect and relay", role)
		}
	}
	if s.has(feed.RoleEdge) && len(s.Addresses) == 0 {
		wrong("--address: an edge needs an address that clients reach, for DNS to answer")
	}
	for _, a := range []struct{ flag, at string }{{"--mesh", s.meshAt()}, {"--peer", s.peerAt()}} {
		if a.flag == "--peer" && (!s.has(feed.RoleControl) || len(s.Store.Endpoints) > 0) {
			continue
		}
		host, _, err := net.SplitHostPort(a.at)
		if ip, _ := netip.ParseAddr(host); err != nil || host == "" || ip.IsValid() && ip.IsUnspecified() {
			wrong("%s %q: other nodes must reach it; write HOST:PORT, or say with %s-at where they do", a.flag, a.at, a.flag)
		}
	}
	return errors.Join(append(errs, s.Store.check(s.has(feed.RoleControl)))...)
}

// check says what is wrong with what the user gave, on a node that has the role control or not.
func (e *External) check(control bool) error {
	var errs []error
	for _, at := range e.Endpoints {
		if u, err := url.Parse(at); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Port() == "" || u.Path != "" {
			errs = append(errs, fmt.Errorf("--etcd %q: write https://HOST:PORT", at))
		}
	}
	switch {
	case len(e.Endpoints) > 0 && !control:
		errs = append(errs, errors.New("--etcd: only control nodes have a store: add control to --roles"))
	case len(e.Endpoints) == 0 && (e.CA != "" || e.Cert != "" || e.Key != "" || e.User != ""):
		errs = append(errs, errors.New("--etcd: say where the cluster is that the other --etcd flags are for"))
	case (e.Cert == "") != (e.Key == ""):
		errs = append(errs, errors.New("--etcd-cert and --etcd-key: name both, or none"))
	}
	for _, file := range []string{e.CA, e.Cert, e.Key} {
		if file != "" && !filepath.IsAbs(file) {
			errs = append(errs, fmt.Errorf("%q: write the whole path, as the node may run in another folder", file))
		}
	}
	return errors.Join(errs...)
}

// record is what the network is told of the node.
func (s *Settings) record() (feed.NodeRecord, error) {
	own, err := s.yaml()
	if err != nil {
		return feed.NodeRecord{}, err
	}
	r := feed.NodeRecord{
		Name: s.Name, Cluster: s.Cluster, Rack: s.Rack, Roles: s.Roles, Addresses: s.Addresses, Mesh: s.meshAt(), Settings: own,
	}
	if s.has(feed.RoleControl) {
		r.Peer = s.peerAt()
	}
	return r, nil
}

// yaml writes listen, disk and overlay as wherry.yaml has them. JSON is YAML.
func (s *Settings) yaml() (string, error) {
	listen := map[string]config.Address{}
	for key, at := range map[string]config.Address{
		"http": s.Listen.HTTP, "https": s.Listen.HTTPS, "dns": s.Listen.DNS, "portal": s.Listen.Portal,
	} {
		if at != "" {
			listen[key] = at
		}
	}
	own := map[string]any{"listen": listen}
	if s.Disk != nil {
		volumes := []map[string]string{}
		for _, v := range s.Disk {
			volumes = append(volumes, map[string]string{"dir": v.Dir, "size": v.Size.String()})
		}
		own["disk"] = map[string]any{"volumes": volumes}
	}
	if s.Forward != nil {
		own["overlay"] = map[string]any{"forward": s.Forward}
	}
	data, err := json.Marshal(own)
	if err != nil {
		return "", err
	}
	_, problems := config.ParseNode("the flags", data)
	return string(data), problems.Err()
}

func readSettings(dir string) (*Settings, error) {
	data, err := os.ReadFile(filepath.Join(dir, SettingsName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is no node's directory: make a network with wherry init, or join one with wherry join, with the same --dir", dir)
	}
	if err != nil {
		return nil, err
	}
	var s Settings
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, SettingsName), err)
	}
	return &s, nil
}

// Check says whether a directory is a node's.
func Check(dir string) error {
	_, err := readSettings(dir)
	return err
}

func (s *Settings) write(dir string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return certs.WriteSecret(filepath.Join(dir, SettingsName), append(data, '\n'))
}

// roomBytes is what must be free where a node is made, so that it doesn't become half of one that control knows and the machine doesn't.
const roomBytes = 1 << 20

// checkRoom finds out whether there is room for a node.
func checkRoom(dir string) error {
	f, err := os.CreateTemp(dir, ".room-*")
	if err == nil {
		data := make([]byte, roomBytes)
		_, _ = rand.Read(data) // never fails; some file systems keep zeros for nothing
		_, err = f.Write(data)
		err = errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
	}
	if err != nil {
		return fmt.Errorf("there is no room for a node in %s: free some of the disk, or choose another --dir: %w", dir, err)
	}
	return nil
}

// fresh makes a directory for a new node, and refuses one that is a node's already, or has no room for one.
func fresh(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, SettingsName)); err == nil {
		return fmt.Errorf("%s is a node's already: start it with wherry run --dir %s, or choose another --dir", dir, dir)
	}
	return checkRoom(dir)
}
