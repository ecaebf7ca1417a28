package collect

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wherry/wherry/feed"
)

func network() Network {
	lisbon := Node{NodeRecord: feed.NodeRecord{Name: "lisbon-1", Cluster: "lisbon", Roles: []feed.Role{feed.RoleEdge, feed.RoleDNS}}, Live: true, Seen: time.Unix(1e9, 5e8)}
	lisbon.Report = &feed.Report{
		Version: "1.4\xff", Position: feed.Position{Epoch: 1, Seq: 7}, Load: feed.Load{CPU: 0.5, Memory: 1 << 20}, Refused: []feed.Refusal{{Key: "site/shop"}},
		Sites: []feed.SiteTally{{Requests: 10, Errors: 1, Hits: 8}, {Site: "shop", Requests: 3}},
	}
	return Network{Position: feed.Position{Epoch: 1, Seq: 9}, Nodes: []Node{
		lisbon, {NodeRecord: feed.NodeRecord{Name: "oslo-1", Cluster: "oslo", Roles: []feed.Role{feed.RoleRelay}}},
	}}
}

// One address tells of all nodes; while control is away it tells what it had, and calls nobody live for long.
func TestCollect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var failing atomic.Bool
		c := New(Options{Log: slog.New(slog.DiscardHandler), Ask: func(context.Context) (Network, error) {
			if failing.Load() {
				return Network{}, errors.New("no control node answers")
			}
			return network(), nil
		}})
		if n := testutil.CollectAndCount(c); n != 0 {
			t.Errorf("%d metrics of nobody", n)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.Run(ctx) }()
		synctest.Wait()
		const want = `
			# HELP wherry_network_node_errors_total of these, answered with 5xx or broken off
			# TYPE wherry_network_node_errors_total counter
			wherry_network_node_errors_total{node="lisbon-1"} 1
			# HELP wherry_network_node_feed_behind entries of the feed that the node hasn't adopted
			# TYPE wherry_network_node_feed_behind gauge
			wherry_network_node_feed_behind{node="lisbon-1"} 2
			# HELP wherry_network_node_info a node of the network; always 1
			# TYPE wherry_network_node_info gauge
			wherry_network_node_info{cluster="lisbon",node="lisbon-1",roles="dns,edge",version="1.4?"} 1
			wherry_network_node_info{cluster="oslo",node="oslo-1",roles="relay",version=""} 1
			# HELP wherry_network_node_requests_total requests of clients that the node answered
			# TYPE wherry_network_node_requests_total counter
			wherry_network_node_requests_total{node="lisbon-1"} 10
			# HELP wherry_network_node_refused_documents documents that the node can't use; it goes on with those that it had
			# TYPE wherry_network_node_refused_documents gauge
			wherry_network_node_refused_documents{node="lisbon-1"} 1
			`
		if err := testutil.CollectAndCompare(c, strings.NewReader(want), "wherry_network_node_errors_total", "wherry_network_node_feed_behind",
			"wherry_network_node_info", "wherry_network_node_requests_total", "wherry_network_node_refused_documents"); err != nil {
			t.Error(err)
		}
		liveness := func(lisbon string) {
			t.Helper()
			text := `
				# HELP wherry_network_node_live 1 if control hears of the node, 0 if it doesn't, or can't be asked itself
				# TYPE wherry_network_node_live gauge
				wherry_network_node_live{node="lisbon-1"} ` + lisbon + `
				wherry_network_node_live{node="oslo-1"} 0
				`
			if err := testutil.CollectAndCompare(c, strings.NewReader(text), "wherry_network_node_live"); err != nil {
				t.Error(err)
			}
		}
		liveness("1")
		failing.Store(true)
		time.Sleep(StaleAfter - time.Second)
		liveness("1")
		time.Sleep(2 * time.Second)
		liveness("0")
		failing.Store(false)
		time.Sleep(every)
		liveness("1")
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
