package node

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

func TestSettingsSayAllThatIsWrong(t *testing.T) {
	s := Settings{Name: "Lisbon 1", Cluster: "lisbon", Roles: []feed.Role{"edges", feed.RoleEdge, feed.RoleControl}, Mesh: ":8440"}
	text := s.Check().Error()
	for _, part := range []string{"--name", `--roles "edges"`, "--address", "--mesh", "--peer"} {
		if !strings.Contains(text, part) {
			t.Errorf("nothing about %s in\n%s", part, text)
		}
	}
	s = Settings{Name: "lisbon-1", Cluster: "lisbon", Roles: []feed.Role{feed.RoleEdge}, Mesh: ":8440", MeshAt: "192.0.2.1:8440", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}
	if err := s.Check(); err != nil {
		t.Error(err)
	}
}

// What a node is told to listen at and where it keeps its cache reach the configuration of the network.
func TestSettingsAreARecord(t *testing.T) {
	s := Settings{
		Name: "lisbon-1", Cluster: "lisbon", Roles: []feed.Role{feed.RoleEdge}, Mesh: "192.0.2.1:8440", Peer: "192.0.2.1:8441",
		Listen: config.Listen{HTTP: ":80", Portal: config.Off}, Disk: []config.Volume{{Dir: "/var/cache/wherry", Size: 1 << 30}},
	}
	r, err := s.record()
	if err != nil {
		t.Fatal(err)
	}
	node, problems := config.ParseNode("record", []byte(r.Settings))
	if problems.Err() != nil || node.Listen.HTTP != ":80" || node.Listen.Portal != config.Off || len(node.Disk.Volumes) != 1 || node.Disk.Volumes[0].Size != 1<<30 {
		t.Errorf("%s: %+v, %v", r.Settings, node, problems)
	}
	if r.Mesh != "192.0.2.1:8440" || r.Peer != "" {
		t.Errorf("an edge has mesh %q and peer %q", r.Mesh, r.Peer)
	}
}

func TestADirectoryIsOneNodes(t *testing.T) {
	dir := t.TempDir()
	if err := Check(dir); err == nil || !strings.Contains(err.Error(), "wherry init") {
		t.Errorf("an empty folder: %v", err)
	}
	if err := (&Settings{Name: "lisbon-1"}).write(dir); err != nil {
		t.Fatal(err)
	}
	if err := fresh(dir); err == nil || !strings.Contains(err.Error(), "is a node's already") {
		t.Errorf("twice: %v", err)
	}
}

func TestGenerationsGrowOverARestore(t *testing.T) {
	before, after := generation(feed.Position{Epoch: 1, Seq: 1 << 30}), generation(feed.Position{Epoch: 2, Seq: 5})
	if after <= before {
		t.Errorf("%d after %d", after, before)
	}
}
