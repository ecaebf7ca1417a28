package console

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
)

func newNodeCommand(flags Flags) *cobra.Command {
	return group("node", "List, change and remove nodes, and let new ones join", newNodeListCommand(flags), newNodeSetCommand(flags), newNodeRemoveCommand(flags), newNodeTokenCommand(flags))
}

func newNodeListCommand(flags Flags) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the nodes, as in wherry status", Args: NoArgs}
	return asking(flags, c, func(ctx context.Context, a *asker, _ []string) error {
		if a.json {
			_, err := a.show.Nodes(ctx)
			return err
		}
		s, err := a.ask.Status(ctx)
		if err != nil {
			return err
		}
		if len(s.Nodes) == 0 {
			fmt.Fprintln(a.out, "there is no node; wherry node token says how one joins")
			return nil
		}
		a.printNodes(s.Nodes, s.Position)
		return nil
	})
}

func newNodeRemoveCommand(flags Flags) *cobra.Command {
	var message string
	c := &cobra.Command{
		Use: "remove NODE", Short: "Cut a node off for good: stolen, broken or not needed any more", Args: ExactlyOne("name of a node"),
		Long: `Makes all other nodes close their connections to NODE and take no new ones, whatever its certificate says. It returns when those that are there know.
To bring the machine back, remove its state and let it join anew. Keys of sites that it served may be in wrong hands: replace them.`,
	}
	c.Flags().StringVarP(&message, "message", "m", "", "why, for the audit log")
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error {
		r, err := a.show.RemoveNode(ctx, api.RemoveNodeRequest{Node: config.NodeID(args[0]), Message: message})
		if err != nil || a.json {
			return err
		}
		fmt.Fprintf(a.out, "removed %s: confirmed by %s\n", r.Node, plural(len(r.Confirmed), "node"))
		if len(r.Away) > 0 {
			fmt.Fprintf(a.out, "away, and will know when they are back: %s\n", words(r.Away))
		}
		return nil
	})
}

func newNodeSetCommand(flags Flags) *cobra.Command {
	var in api.ChangeNodeRequest
	var cluster, rack string
	var roles, addresses, forward []string
	c := &cobra.Command{
		Use: "set NODE", Short: "Change a node's place, addresses or roles", Args: ExactlyOne("name of a node"),
		Long: `Changes what NODE is to the network; what isn't named stays. The node takes it over by itself: other roles by a new certificate, and a new process that
gets its listeners. The role control can be neither given nor taken.`,
		Example: `  wherry node set lisbon-1 --address 192.0.2.9
  wherry node set lisbon-1 --roles edge,dns --cluster porto
  wherry node set lisbon-1 --forward 10.0.0.0/8:5432,db.internal:5432`,
	}
	f := c.Flags()
	f.StringVar(&cluster, "cluster", "", "the `cluster` that it stands in")
	f.StringVar(&rack, "rack", "", "nodes with the same `name` of a rack fall together; empty: in none")
	f.StringSliceVar(&addresses, "address", nil, "the public `addresses` that DNS answers for it, all of them")
	f.StringSliceVar(&roles, "roles", nil, "what it does, all of it: any of `control,edge,dns,relay,collect`")
	f.StringVar(&in.Mesh, "mesh-at", "", "where other nodes reach it, HOST:PORT; it goes on listening where it does")
	f.StringSliceVar(&forward, "forward", nil, "where wherry overlay forward may reach through it beyond its own loopback, all `targets`; empty: nowhere")
	f.StringVarP(&in.Message, "message", "m", "", "why, for the audit log")
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error {
		if c.Flags().Changed("forward") {
			in.Forward = &[]config.ForwardTarget{}
			for _, target := range forward {
				*in.Forward = append(*in.Forward, config.ForwardTarget(target))
			}
		}
		in.Node, in.Cluster = config.NodeID(args[0]), config.ClusterName(cluster)
		if c.Flags().Changed("rack") {
			in.Rack = &rack
		}
		for _, text := range addresses {
			at, err := netip.ParseAddr(text)
			if err != nil {
				return UsageError{fmt.Errorf("--address %q: write an IP address", text)}
			}
			in.Addresses = append(in.Addresses, at)
		}
		for _, r := range roles {
			in.Roles = append(in.Roles, feed.Role(r))
		}
		r, err := a.show.ChangeNode(ctx, in)
		if err != nil || a.json {
			return err
		}
		if r.Position == (feed.Position{}) {
			fmt.Fprintf(a.out, "%s is like that already\n", r.Name)
			return nil
		}
		fmt.Fprintf(a.out, "changed %s (%s in %s): known to %s\n", r.Name, words(r.Roles), r.Cluster, plural(len(r.Confirmed), "node"))
		if len(r.Away) > 0 {
			fmt.Fprintf(a.out, "away, and will know when they are back: %s\n", words(r.Away))
		}
		return nil
	})
}

func newNodeTokenCommand(flags Flags) *cobra.Command {
	var in api.JoinTokenRequest
	var roles []string
	var name string
	c := &cobra.Command{
		Use: "token", Short: "Print the command that lets a new node join",
		Example: `  wherry node token
  wherry node token --roles control --name lisbon-2`,
		Args: func(c *cobra.Command, args []string) error {
			if in.Life < 0 || in.Uses < 0 {
				return UsageError{errors.New("--life and --uses can't be negative")}
			}
			for _, r := range roles {
				switch feed.Role(r) {
				case feed.RoleControl, feed.RoleEdge, feed.RoleDNS, feed.RoleCollect, feed.RoleRelay:
				default:
					return UsageError{fmt.Errorf("--roles %s: there are control, edge, dns, relay and collect", r)}
				}
			}
			return NoArgs(c, args)
		},
	}
	c.Flags().StringSliceVar(&roles, "roles", nil, "what the node may do: `control,edge,dns,relay,collect` (default: all but control)")
	c.Flags().StringVar(&name, "name", "", "what the node must be called (default: what it calls itself)")
	c.Flags().DurationVar(&in.Life, "life", time.Hour, "how long the token is good")
	c.Flags().IntVar(&in.Uses, "uses", 1, "how many nodes may join with it")
	return asking(flags, c, func(ctx context.Context, a *asker, _ []string) error {
		in.Node = config.NodeID(name)
		for _, r := range roles {
			in.Roles = append(in.Roles, feed.Role(r))
		}
		t, err := a.show.CreateJoinToken(ctx, in)
		if err != nil || a.json {
			return err
		}
		fmt.Fprintf(a.notes, "Run this on the machine that joins, good for %s and %s:\n", span(t.Expires.Sub(a.now).Round(time.Second)), plural(max(in.Uses, 1), "node"))
		fmt.Fprintln(a.out, strings.TrimRight(t.Command, "\n"))
		return nil
	})
}
