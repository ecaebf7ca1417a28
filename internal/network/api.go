package network

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"time"

	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/feed"
)

// operations is as much of control's API as a process without control has: its own edges can be looked at and purged.
type operations struct {
	api.Unavailable
	n *Network
}

var _ api.Service = operations{}

func (n *Network) newAPI() http.Handler {
	if n.o.API != nil {
		return n.o.API
	}
	return api.NewHandler(operations{n: n}, api.Options{Version: n.o.Version, Log: n.o.Log, Count: api.NewMetrics(n.o.Registry)})
}

// Authenticate implements api.Service: the operator's token opens everything.
func (o operations) Authenticate(_ context.Context, token string) (api.Actor, error) {
	given, want := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(o.n.o.Token)) // so that comparing takes the same time for all lengths
	if o.n.o.Token == "" || subtle.ConstantTimeCompare(given[:], want[:]) != 1 {
		return api.Actor{}, fault.New(fault.Client, "authenticate", http.StatusUnauthorized,
			errors.New("the token is not this network's operator token; send the one in operator.token of the folder of its state (--token-file)"))
	}
	return api.Actor{Name: "operator", Can: api.Scope{Verbs: []api.Verb{api.Admin}}}, nil
}

// Purge implements api.Service for the edges of this process.
func (o operations) Purge(_ context.Context, _ api.Actor, r api.PurgeRequest) (api.PurgeResult, error) {
	began := time.Now()
	result := api.PurgeResult{Purge: r.Purge}
	for _, s := range o.n.edges {
		if _, err := s.edge.Purge(r.Purge, 0); err != nil {
			return result, fault.New(fault.Client, "purge", http.StatusNotFound, err)
		}
		result.Confirmed = append(result.Confirmed, api.NodePurge{Node: s.doors.Node, Took: time.Since(began)})
	}
	result.Took = time.Since(began)
	return result, nil
}

// Status implements api.Service: the nodes of the configuration, of which those elsewhere are known by their health checks alone.
func (o operations) Status(ctx context.Context, _ api.Actor) (api.Status, error) {
	st, now := o.n.Status(ctx), time.Now()
	out := api.Status{Version: st.Version, Nodes: []api.NodeStatus{}}
	for _, c := range st.Clusters {
		for _, node := range c.Nodes {
			s := api.NodeStatus{NodeRecord: feed.NodeRecord{
				Name: node.Name, Cluster: c.Name, Roles: []feed.Role{feed.RoleEdge}, Addresses: node.Addresses, Joined: st.Started,
			}, Live: node.Up}
			if !node.Up {
				s.Lags = append(s.Lags, "doesn't answer: "+node.Error)
			}
			if d := o.n.o.DNS; d != nil && d.Node == node.Name {
				s.Roles = append(s.Roles, feed.RoleDNS)
			}
			if !node.Elsewhere {
				s.Seen = now
				s.Report = &feed.Report{
					Node: node.Name, At: now, Started: st.Started, Version: st.Version, Roles: s.Roles, Config: st.Revision,
					Doors: map[string]string{"http": node.HTTP, "https": node.HTTPS},
				}
			}
			out.Nodes = append(out.Nodes, s)
		}
	}
	for _, i := range st.Incidents {
		out.Alerts = append(out.Alerts, i.Subject+": "+i.Text)
	}
	return out, nil
}
