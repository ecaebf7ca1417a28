package portal

import (
	"context"
	"net/netip"
	"net/url"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/trace"
)

// Network is what the portal shows and steers.
type Network interface {
	// Status returns what the network looks like now. It is asked once for each refresh of each open page.
	Status(ctx context.Context) Status
	// Trace returns the report of a traced request, as long as the network remembers it.
	Trace(id string) (trace.Report, bool)
	// ProgramLog returns the last lines that a program of this node wrote to standard error, the oldest first.
	ProgramLog(name string) ([]ProgramLine, bool)
}

// Status is one look at the whole network.
type Status struct {
	Version   string     `json:"version"`
	Revision  string     `json:"revision"` // of the configuration
	Started   time.Time  `json:"started"`
	Ready     bool       `json:"ready"` // every listener is open
	Clusters  []Cluster  `json:"clusters"`
	Sites     []Site     `json:"sites"`
	Programs  []Program  `json:"programs,omitempty"` // of this node
	DNS       string     `json:"dns,omitempty"`      // HOST:PORT of the authoritative server, UDP and TCP
	CAFile    string     `json:"ca_file,omitempty"`  // the root that signs the certificates of sites without their own
	Commands  []Command  `json:"commands"`
	Incidents []Incident `json:"incidents"` // the newest first
}

// Cluster is one place with its nodes.
type Cluster struct {
	Name  config.ClusterName `json:"name"`
	Nodes []Node             `json:"nodes"`
}

// Node is one edge as its health checks and counters show it. Counters count from the start of the node.
type Node struct {
	Name      config.NodeID `json:"name"`
	Addresses []netip.Addr  `json:"addresses"`       // what DNS answers for it
	HTTP      string        `json:"http,omitempty"`  // HOST:PORT; empty if the door is closed
	HTTPS     string        `json:"https,omitempty"` // HOST:PORT; empty if the door is closed
	Up        bool          `json:"up"`              // answers its health checks
	Since     time.Time     `json:"since"`           // when Up became what it is
	Error     string        `json:"error,omitempty"` // why the last check failed

	// Elsewhere tells that the node runs in another process, whose counters below aren't known here.
	Elsewhere        bool   `json:"elsewhere,omitempty"`
	Requests         uint64 `json:"requests"`
	Hits             uint64 `json:"hits"` // requests answered without asking an origin
	SentBytes        uint64 `json:"sent_bytes"`
	StoredObjects    uint64 `json:"stored_objects"`
	StoredBytes      uint64 `json:"stored_bytes"`
	StoredLimitBytes uint64 `json:"stored_limit_bytes"`
	Disk             *Disk  `json:"disk,omitempty"` // the cache's tier on disk; nil if it has none
}

// Disk is what a node caches on disk, some of which is in memory, too.
type Disk struct {
	Objects    uint64   `json:"objects"`
	Bytes      uint64   `json:"bytes"`
	LimitBytes uint64   `json:"limit_bytes"`
	Volumes    []Volume `json:"volumes"`
}

// Volume is one disk of a node.
type Volume struct {
	Dir       string    `json:"dir"`
	State     string    `json:"state"` // ok, slow, failing or full
	Since     time.Time `json:"since"`
	LastError string    `json:"last_error,omitempty"` // the last one, also if the state is ok again
}

// Site is what one customer serves.
type Site struct {
	Name    config.SiteName      `json:"name"`
	Hosts   []config.HostPattern `json:"hosts"`
	Origins []Origin             `json:"origins"`
}

// Origin is one of a site's servers, as the nodes that ask it see it.
type Origin struct {
	URL       *url.URL  `json:"-"`
	Healthy   bool      `json:"healthy"`
	Since     time.Time `json:"since"` // when Healthy became what it is
	LastError string    `json:"last_error,omitempty"`
}

// Command is a line that works when it is pasted into a shell.
type Command struct {
	Purpose string `json:"purpose"` // such as "Ask the nearest edge"
	Line    string `json:"line"`
}

// Incident is something that went wrong lately.
type Incident struct {
	At      time.Time   `json:"at"`
	Party   fault.Party `json:"party"`   // who has to act
	Subject string      `json:"subject"` // the node, site or origin
	Text    string      `json:"text"`
	Action  string      `json:"action,omitempty"` // what to do about it
}
