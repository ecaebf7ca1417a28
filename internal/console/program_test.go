package console

import (
	"slices"
	"testing"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
)

// edge is a live edge that has a revision of the settings.
func edge(name config.NodeID, holds uint64) api.NodeStatus {
	return api.NodeStatus{
		NodeRecord: feed.NodeRecord{Name: name, Roles: []feed.Role{feed.RoleEdge}}, Live: true, Report: &feed.Report{Holds: map[string]uint64{"network": holds}},
	}
}

// Edges that don't have the settings yet are named with the reason; whether it makes sense to wait depends on that.
func TestLateEdges(t *testing.T) {
	has, waits, away, names := edge("a", 4), edge("b", 3), edge("c", 3), edge("d", 3)
	waits.Report.Alerts = []string{"waits for an image"}
	away.Live = false
	names.Roles = []feed.Role{feed.RoleDNS}
	late, refused := lateEdges([]api.NodeStatus{has, waits, away, names}, 4)
	if !slices.Equal(late, []string{"b: it has revision 3; waits for an image"}) || refused {
		t.Errorf("%q, %v", late, refused)
	}
	waits.Report.Alerts, waits.Report.Refused = nil, []feed.Refusal{{Key: "network", Ref: feed.Ref{Revision: 4}, Why: "it crashes"}}
	late, refused = lateEdges([]api.NodeStatus{has, waits}, 4)
	if !slices.Equal(late, []string{"b: it crashes"}) || !refused {
		t.Errorf("%q, %v", late, refused)
	}
}
