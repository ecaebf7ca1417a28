package network

import (
	"context"
	"net"
	"slices"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/disk"
	"github.com/wherry/wherry/dns"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/origin"
	"github.com/wherry/wherry/portal"
	"github.com/wherry/wherry/trace"
)

var _ portal.Network = (*Network)(nil)

// Trace implements portal.Network.
func (n *Network) Trace(id string) (trace.Report, bool) {
	for _, s := range n.edges {
		if r, ok := s.edge.Trace(id); ok {
			return r, true
		}
	}
	return trace.Report{}, false
}

// ProgramLog implements portal.Network.
func (n *Network) ProgramLog(name string) ([]portal.ProgramLine, bool) {
	if n.o.Programs == nil {
		return nil, false
	}
	return n.o.Programs.Log(name)
}

// Status implements portal.Network.
func (n *Network) Status(context.Context) portal.Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	snap, origins := n.current, n.pools.Status()
	st := portal.Status{
		Version: n.o.Version, Revision: snap.Revision, Started: n.started, Ready: true, Commands: n.o.Commands,
		Clusters: []portal.Cluster{}, Sites: sites(snap, origins), Incidents: []portal.Incident{},
	}
	if n.o.Programs != nil {
		st.Programs = n.o.Programs.Status()
	}
	if n.o.CA != nil {
		st.CAFile = n.o.CA.RootFile()
	}
	if n.o.DNS != nil {
		st.DNS = n.o.DNS.UDP.LocalAddr().String()
	}
	var checks []dns.NodeHealth
	if n.names != nil {
		checks = n.names.Health()
	}
	for i := range snap.Clusters {
		c := &snap.Clusters[i]
		cluster := portal.Cluster{Name: c.Name, Nodes: []portal.Node{}}
		for j := range c.Nodes {
			cluster.Nodes = append(cluster.Nodes, n.node(&c.Nodes[j], checks))
		}
		st.Clusters = append(st.Clusters, cluster)
	}
	st.Incidents = incidents(&st, origins, time.Now())
	return st
}

const (
	incidentAge  = 15 * time.Minute // of a failure that is over
	incidentsMax = 50
)

// incidents lists what is wrong now, and what origins did wrong a short while ago, the newest first.
func incidents(st *portal.Status, origins []origin.Status, now time.Time) []portal.Incident {
	list := []portal.Incident{}
	for _, c := range st.Clusters {
		for _, node := range c.Nodes {
			if !node.Up {
				list = append(list, portal.Incident{
					At: node.Since, Party: fault.Edge, Subject: string(node.Name), Text: "doesn't answer: " + node.Error,
					Action: "It has left the DNS answers. Look at the machine and at the log of its wherry.",
				})
			}
			list = append(list, volumeIncidents(&node)...)
		}
	}
	for _, o := range origins {
		subject := string(o.Site) + ": " + o.Origin
		switch {
		case !o.Healthy:
			list = append(list, portal.Incident{
				At: o.Since, Party: fault.Origin, Subject: subject, Text: "out of rotation: " + o.LastError,
				Action: "Look at the customer's server. It is tried again by itself.",
			})
		case o.LastError != "" && now.Sub(o.LastErrorAt) < incidentAge:
			list = append(list, portal.Incident{At: o.LastErrorAt, Party: fault.Origin, Subject: subject, Text: "failed a request: " + o.LastError})
		}
	}
	slices.SortStableFunc(list, func(a, b portal.Incident) int { return b.At.Compare(a.At) })
	return list[:min(len(list), incidentsMax)]
}

// volumeIncidents lists the disks of a node that don't do as they should.
func volumeIncidents(node *portal.Node) (list []portal.Incident) {
	if node.Disk == nil {
		return nil
	}
	for _, v := range node.Disk.Volumes {
		if v.State != string(disk.OK) {
			list = append(list, portal.Incident{
				At: v.Since, Party: fault.Edge, Subject: string(node.Name) + ": " + v.Dir, Text: "the disk is " + v.State + ": " + v.LastError,
				Action: "The node serves on from memory and other disks. Look at the disk; it is tried again by itself.",
			})
		}
	}
	return list
}

// node is a node as its health checks and, if it is of this process, its counters show it. It is up if it answers at each of its
// addresses.
func (n *Network) node(node *config.Node, checks []dns.NodeHealth) portal.Node {
	p := portal.Node{Name: node.Name, Addresses: node.Addresses, Up: true, Since: n.started, Elsewhere: true}
	for _, h := range checks {
		if h.Node == node.Name && p.Up {
			p.Since = h.Since
			if p.Up = h.Up; !h.Up {
				p.Error = h.LastErr
			}
		}
	}
	for _, s := range n.edges {
		if s.doors.Node != node.Name {
			continue
		}
		p.Elsewhere = false
		p.HTTP, p.HTTPS = address(s.doors.HTTP), address(s.doors.HTTPS)
		stats, usage := s.edge.Stats(), s.store.Usage()
		p.Requests, p.Hits, p.SentBytes = uint64(stats.Requests), uint64(stats.Hits), uint64(stats.BodyBytes)
		p.StoredObjects, p.StoredBytes, p.StoredLimitBytes = uint64(usage.Responses), uint64(usage.Bytes), uint64(usage.BytesMax)
		if d := usage.Disk; d != nil {
			p.Disk = &portal.Disk{Objects: uint64(d.Responses), Bytes: uint64(d.Bytes), LimitBytes: uint64(d.BytesMax)}
			for _, v := range d.Volumes {
				p.Disk.Volumes = append(p.Disk.Volumes, portal.Volume{Dir: v.Dir, State: v.State, Since: v.Since, LastError: v.LastError})
			}
		}
	}
	return p
}

func address(l net.Listener) string {
	if l == nil {
		return ""
	}
	return l.Addr().String()
}

// sites lists the sites of snap with what is known of their origins: by place, as several may have the same URL.
func sites(snap *config.Snapshot, origins []origin.Status) []portal.Site {
	known := map[config.SiteName][]origin.Status{}
	for _, o := range origins {
		known[o.Site] = append(known[o.Site], o)
	}
	list := []portal.Site{}
	for i := range snap.Sites {
		s := &snap.Sites[i]
		site := portal.Site{Name: s.Name, Hosts: s.Hosts, Origins: []portal.Origin{}}
		for j, is := range known[s.Name] {
			site.Origins = append(site.Origins, portal.Origin{
				URL: s.Origins[j].URL, Healthy: is.Healthy, Since: is.Since, LastError: is.LastError,
			})
		}
		list = append(list, site)
	}
	return list
}
