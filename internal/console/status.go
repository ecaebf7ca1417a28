package console

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
)

func newStatusCommand(flags Flags) *cobra.Command {
	c := &cobra.Command{
		Use: "status", Short: "Show the whole network: nodes, what lags and why, control, roll-outs, alerts", Args: NoArgs,
		Long: `Shows each node with its roles, its version, whether it is there, the configuration that it serves, and what it hasn't yet and why; then the members
of control's store, the roll-outs under way, and what somebody should look at.`,
	}
	return asking(flags, c, func(ctx context.Context, a *asker, _ []string) error {
		s, err := a.show.Status(ctx)
		if err != nil || a.json {
			return err
		}
		fmt.Fprintln(a.out, headline(s))
		if len(s.Nodes) > 0 {
			fmt.Fprintln(a.out)
			a.printNodes(s.Nodes, s.Position)
		}
		if s.Control.Node != "" {
			fmt.Fprintln(a.out)
			a.printControl(s.Control)
		}
		if len(s.Rollouts) > 0 {
			fmt.Fprintln(a.out)
			a.printRollouts(s.Rollouts)
		}
		a.printAlerts(s)
		return nil
	})
}

func headline(s api.Status) string {
	live := 0
	for _, n := range s.Nodes {
		if n.Live {
			live++
		}
	}
	text := fmt.Sprintf("%d of %s live, version %s", live, plural(len(s.Nodes), "node"), shortVersion(s.Version))
	if s.Position != (feed.Position{}) {
		text += ", feed at " + s.Position.String()
	}
	return text
}

// shortVersion is a version without the commit and the Go release.
func shortVersion(version string) string {
	first, _, _ := strings.Cut(version, " ")
	return orDash(first)
}

func (a *asker) printNodes(nodes []api.NodeStatus, at feed.Position) {
	var rows [][]string
	for _, n := range nodes {
		version, revision := "-", "-"
		if r := n.Report; r != nil {
			version, revision = shortVersion(r.Version), orDash(clip(r.Config, 14))
		}
		lags := a.lags(n, at)
		rows = append(rows, []string{string(n.Name), string(n.Cluster), strings.ReplaceAll(words(n.Roles), ", ", ","), version, a.health(n), revision, lags[0]})
		for _, more := range lags[1:] {
			rows = append(rows, []string{"", "", "", "", "", "", more})
		}
	}
	a.table("NODE CLUSTER ROLES VERSION HEALTH CONFIG LAGS", rows)
}

func (a *asker) health(n api.NodeStatus) string {
	switch {
	case n.Live:
		return "live"
	case n.Seen.IsZero():
		return "never seen"
	}
	return "away, " + a.ago(n.Seen)
}

// lags is what a node hasn't yet, one a line.
func (a *asker) lags(n api.NodeStatus, at feed.Position) []string {
	all := slices.Clone(n.Lags)
	if r := n.Report; len(all) == 0 && r != nil && r.Position.Before(at) {
		if r.Position.Epoch == at.Epoch {
			all = append(all, fmt.Sprintf("%d entries of the feed", at.Seq-r.Position.Seq))
		} else {
			all = append(all, fmt.Sprintf("the feed since it began anew (%s)", r.Position))
		}
	}
	if len(all) == 0 {
		return []string{"-"}
	}
	return all
}

func (a *asker) printControl(s api.ControlStatus) {
	leader, quorum := string(s.Leader), "has a majority"
	if leader == "" {
		leader = "none now"
	}
	if !s.Quorum {
		quorum = "has NO majority: nothing can be changed until more members are back"
	}
	fmt.Fprintf(a.out, "control: leader %s, %s, last backup %s (%s answers)\n", leader, quorum, a.ago(s.Backup), s.Node)
	var rows [][]string
	for _, m := range s.Members {
		state := "healthy"
		if !m.Healthy {
			state = "doesn't answer"
		}
		if m.Learner {
			state += ", learning"
		}
		rows = append(rows, []string{string(m.Name), m.Peer, state})
	}
	if len(rows) > 0 {
		a.table("MEMBER PEER STATE", rows)
	}
}

func (a *asker) printAlerts(s api.Status) {
	all := slices.Clone(s.Alerts)
	for _, n := range s.Nodes {
		if n.Report == nil {
			continue
		}
		for _, text := range n.Report.Alerts {
			all = append(all, string(n.Name)+": "+text)
		}
		for _, r := range n.Report.Refused {
			all = append(all, fmt.Sprintf("%s: refused revision %d of %s: %s", n.Name, r.Ref.Revision, r.Key, r.Why))
		}
	}
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(a.out, "\nalerts:")
	for _, text := range all {
		fmt.Fprintln(a.out, "  "+text)
	}
}
