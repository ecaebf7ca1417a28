package network

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/config"
)

// bothNodes is a configuration of two nodes; LISTEN is the network's.
func bothNodes(t *testing.T, listen string) *config.Snapshot {
	t.Helper()
	return parse(t, `
listen: {`+listen+`}
clusters:
- {name: lisbon, nodes: [{name: lisbon-1, addresses: [192.0.2.1]}]}
- {name: osaka, nodes: [{name: osaka-1, addresses: [192.0.2.2]}]}
sites: [{name: shop, hosts: [shop.test], origins: [{url: "http://192.0.2.8"}]}]
`)
}

// Checks find the open doors: those of this process wherever they are, those of others where the configuration says.
func TestChecksFindTheDoors(t *testing.T) {
	for _, c := range []struct {
		name, listen                         string
		http, https, othersHTTP, othersHTTPS string // "" is closed
	}{
		{"as configured", `http: ":8080", https: ":8443"`, ":8080", ":8443", ":8080", ":8443"},
		{"without HTTP", `http: off, https: ":8443"`, "", ":8443", "", ":8443"},
		{"HTTP closed on the command line", `http: ":8080", https: ":8443"`, "", ":8443", ":8080", ":8443"},
		{"HTTPS at a port that the system chooses", `http: ":8080", https: ":8443"`, "", ":0", ":8080", ""},
		{"HTTP elsewhere", `http: ":8080", https: off`, ":9999", "", ":8080", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				snapshot := bothNodes(t, c.listen)
				doors := func(node config.NodeID, http, https string) EdgeDoors {
					h, d := w.lisbon, EdgeDoors{Node: node}
					if node == "osaka-1" {
						h = w.osaka
					}
					if http != "" {
						d.HTTP = listen(t, h, http)
					}
					if https != "" {
						d.HTTPS = listen(t, h, https)
					}
					return d
				}
				runAt(t, w.osaka, Options{Snapshot: snapshot, Edges: []EdgeDoors{doors("osaka-1", c.othersHTTP, c.othersHTTPS)}})
				w.run(t, snapshot, doors("lisbon-1", c.http, c.https))
				time.Sleep(10 * time.Second)
				w.expectUp(t, true, true)
				w.osaka.Blackhole()
				time.Sleep(2 * time.Second)
				w.expectUp(t, true, false)
			})
		})
	}
}

// expectUp compares what the checks have found of both nodes.
func (w *world) expectUp(t *testing.T, lisbon, osaka bool) {
	t.Helper()
	want := map[config.NodeID]bool{"lisbon-1": lisbon, "osaka-1": osaka}
	for _, h := range w.names.Health() {
		if h.Up != want[h.Node] || h.Checked.IsZero() {
			t.Errorf("%s: up %v, last error %q, checked %v", h.Node, h.Up, h.LastErr, h.Checked)
		}
	}
}

// A reload that moves the network's doors moves the checks of other nodes, and not those of this process, whose listeners stay.
func TestReloadMovesTheChecksOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		before, after := bothNodes(t, `http: ":8080"`), bothNodes(t, `http: ":9090"`)
		runAt(t, w.osaka, Options{Snapshot: after, Edges: []EdgeDoors{{Node: "osaka-1", HTTP: listen(t, w.osaka, ":9090")}}})
		w.run(t, before, EdgeDoors{Node: "lisbon-1", HTTP: listen(t, w.lisbon, ":8080")})
		time.Sleep(10 * time.Second)
		w.expectUp(t, true, false)
		restart, err := w.Reload(after)
		if err != nil || len(restart) != 1 || restart[0] != "listen" {
			t.Errorf("reload: restart for %v, %v", restart, err)
		}
		time.Sleep(10 * time.Second)
		w.expectUp(t, true, true)
	})
}
