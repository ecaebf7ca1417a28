package config

import (
	"net/netip"
	"time"

	"github.com/wherry/wherry/config/programs"
)

// The comments below and in model_site.go are the reference: Parse, Schema and Reference read them. After a field's text may stand the lines
// `required`, `default: VALUE` (as a file would say it, or words), `range: LOW to HIGH` and `one of: A, B`.

// Network is the whole of wherry.yaml: what the network is called, how its nodes listen, where its clusters stand and which
// sites it serves. Only `sites` is required; everything else has a default that works on one machine.
type Network struct {
	// The DNS zone of the network itself, in which nodes and clusters have names (NODE.nodes.ZONE, CLUSTER.clusters.ZONE).
	// default: wherry.test
	Zone Host `yaml:"zone"`

	// How the zone and the hosts of the sites are answered by DNS.
	DNS DNS `yaml:"dns"`

	// Where this process listens. A node can override it.
	Listen Listen `yaml:"listen"`

	// What one node accepts from clients before it refuses.
	Limits Limits `yaml:"limits"`

	// How much the cache of one node may hold.
	Memory Memory `yaml:"memory"`

	// Where the cache keeps responses beside memory. A node can override it.
	Disk Disk `yaml:"disk"`

	// Where log records go.
	Log Log `yaml:"log"`

	// How changes reach the nodes, in a network with control.
	Rollout Rollout `yaml:"rollout"`

	// The places in which nodes stand. Without any there is one cluster `local` with one node that has this machine's
	// loopback address.
	Clusters []Cluster `yaml:"clusters"`

	// Programs that rules name as the origin of what they match, by name.
	Programs map[ProgramName]programs.Program `yaml:"programs"`

	// The sites that the network serves.
	// required
	Sites []Site `yaml:"sites"`
}

// DNS says how names are answered.
type DNS struct {
	// How long a resolver may keep an address answer. Short, because it bounds how long clients go on asking a dead edge.
	// default: 20s
	// range: 1s to 24h
	TTL time.Duration `yaml:"ttl"`

	// The name servers of the zone, in-zone or not; they become NS records, with addresses as glue.
	// default: ns1.ZONE at the addresses of the first node
	Nameservers []Nameserver `yaml:"nameservers"`

	// The mailbox of who answers for the zone, as a mail address; it becomes the SOA RNAME.
	// default: hostmaster@ZONE
	Contact string `yaml:"contact"`

	// A MaxMind DB file (.mmdb) that places client addresses on the map: `location.latitude`/`longitude`, or
	// `country.iso_code` alone. Without it clients are placed only by the clusters' prefixes.
	GeoDatabase string `yaml:"geo_database"`

	// How often each edge is asked whether it is alive. Two unanswered checks take it out of the answers, two answered ones
	// bring it back.
	// default: 500ms
	// range: 10ms to 1m
	HealthInterval time.Duration `yaml:"health_interval"`
}

// Nameserver is one authoritative server of the zone.
type Nameserver struct {
	// The name, such as ns1.example.net.
	// required
	Name Host `yaml:"name"`

	// Its addresses, IPv4 and IPv6.
	Addresses []netip.Addr `yaml:"addresses"`
}

// Listen says at which addresses a node listens. Each is HOST:PORT or :PORT; port 0 picks a free one and prints it; `off`
// closes the door.
type Listen struct {
	// Cleartext HTTP/1.1 and HTTP/2 (prior knowledge).
	// default: :8080
	HTTP Address `yaml:"http"`

	// HTTP/1.1 and HTTP/2 over TLS.
	// default: :8443
	HTTPS Address `yaml:"https"`

	// HTTP/3, over UDP at the address of `https`. Answers by HTTPS tell clients that it is there (Alt-Svc), for a day. Where UDP doesn't get
	// through they go on with HTTPS.
	// default: on
	// one of: on, off
	HTTP3 Toggle `yaml:"http3"`

	// Authoritative DNS, UDP and TCP.
	// default: :8053
	DNS Address `yaml:"dns"`

	// The status page, /metrics and the operator's API. Keep it where only operators get to.
	// default: 127.0.0.1:8088
	Portal Address `yaml:"portal"`
}

// Limits are what one node accepts. What goes beyond is refused with the named status and counted in
// wherry_edge_refused_total.
type Limits struct {
	// Open client connections; further ones get 503 in cleartext and are closed under TLS.
	// default: 20000
	// range: 1 to 1000000
	Connections int `yaml:"connections"`

	// The request line and header section together; more gets 431.
	// default: 32KiB
	// range: 1KiB to 1MiB
	HeaderSize Size `yaml:"header_size"`

	// From the first byte of a request to the end of its header section.
	// default: 10s
	// range: 10ms to 1h
	HeaderTimeout time.Duration `yaml:"header_timeout"`

	// The longest silence inside a request body; then 408.
	// default: 30s
	// range: 10ms to 1h
	BodyTimeout time.Duration `yaml:"body_timeout"`

	// The longest that a client may leave a response unread; then the connection is closed.
	// default: 60s
	// range: 10ms to 1h
	WriteTimeout time.Duration `yaml:"write_timeout"`

	// How long a connection may stay open between two requests, and an upgraded one (WebSocket) without a byte.
	// default: 75s
	// range: 10ms to 1h
	IdleTimeout time.Duration `yaml:"idle_timeout"`

	// How long a node that stops goes on taking requests while its health check already says so, for DNS to look away first:
	// two health_intervals and the ttl of the answers. Other networks' resolvers may hold an answer longer.
	// default: 0s
	// range: 0s to 1h
	DrainDelay time.Duration `yaml:"drain_delay"`

	// How long requests in flight may take to finish when the node stops.
	// default: 30s
	// range: 0s to 1h
	DrainTimeout time.Duration `yaml:"drain_timeout"`

	// What the key-value store of programs keeps.
	Values programs.ValueLimits `yaml:"values"`
}

// Memory bounds the cache of one node.
type Memory struct {
	// All stored responses together, header and body, with what the store itself needs.
	// default: 256MiB
	// range: 64KiB to 16TiB
	Cache Size `yaml:"cache"`

	// The largest response that is kept in one piece. A larger one is kept in fragments of 1 MiB that come and go one by one, if it
	// has a strong validator; else it passes through unstored.
	// default: 32MiB
	// range: 1KiB to 1TiB
	Object Size `yaml:"object"`

	// All programs of a node together: their snapshots, and what their instances have written, or may write while they answer.
	// default: 1GiB
	// range: 16MiB to 16TiB
	Programs Size `yaml:"programs"`
}

// Disk is the cache's second tier: what doesn't fit into memory, and what shall be there after a restart.
type Disk struct {
	// The directories that the cache may fill, best one for each disk. Without any, everything is in memory alone and gone after
	// a restart.
	// default: none
	Volumes []Volume `yaml:"volumes"`
}

// Volume is one directory of the cache.
type Volume struct {
	// The directory, on a disk of its own. It belongs to the cache of one node alone, which writes and removes files in it.
	// required
	Dir string `yaml:"dir"`

	// How much the cache may keep in it; leave the file system some room beside that. When it is used up, what was asked for
	// least goes first.
	// required
	// range: 64MiB to 1024TiB
	Size Size `yaml:"size"`
}

// Log says where records go.
type Log struct {
	// One JSON line a request: `stdout`, `stderr`, `off` or the path of a file, which is appended to. This and all
	// other paths in this file, if not absolute, count from the directory in which wherry was started.
	// default: stdout
	Access string `yaml:"access"`

	// What the process says of itself goes to standard error from this level up.
	// default: info
	// one of: debug, info, warn, error
	Level string `yaml:"level"`
}

// Rollout says how a change goes from one node to all: a canary, its cluster, a quarter of the edges, all.
type Rollout struct {
	// How long each phase is watched before the next begins.
	// default: 10s
	// range: 1s to 24h
	Bake time.Duration `yaml:"bake"`

	// The edges of which the first live one gets changes first. Without any, control takes a live edge, best one with requests for the
	// site.
	Canaries []NodeID `yaml:"canaries"`
}

// Cluster is a place with nodes that are alike to a client.
type Cluster struct {
	// A DNS label, such as lisbon.
	// required
	Name ClusterName `yaml:"name"`

	// Where it is, to find the nearest cluster for clients whose place is known.
	Location *Location `yaml:"location"`

	// The client networks that this cluster serves first, such as 192.0.2.0/24. The longest matching prefix of all clusters
	// wins.
	Prefixes []netip.Prefix `yaml:"prefixes"`

	// The machines.
	// required
	Nodes []Node `yaml:"nodes"`
}

// Location is a point on the earth.
type Location struct {
	// Degrees, north positive.
	// required
	// range: -90 to 90
	Latitude float64 `yaml:"latitude"`

	// Degrees, east positive.
	// required
	// range: -180 to 180
	Longitude float64 `yaml:"longitude"`
}

// Node is one machine, or one process on it.
type Node struct {
	// A DNS label, unique in the network, such as lisbon-1. It is the node's name in Cache-Status, Via and the logs.
	// required
	Name NodeID `yaml:"name"`

	// The public addresses that DNS answers for it, IPv4 and IPv6.
	// required
	Addresses []netip.Addr `yaml:"addresses"`

	// Overrides of the network's `listen` for this node.
	// default: the network's `listen`
	Listen Listen `yaml:"listen"`

	// The volumes of this node, where its disks are other ones. `volumes: []` means none.
	// default: the network's `disk`
	Disk Disk `yaml:"disk"`

	// What the node does for others on the overlay.
	Overlay Overlay `yaml:"overlay"`
}

// Overlay is what a node does for others on the overlay.
type Overlay struct {
	// Where `wherry overlay forward` may have this node connect to beyond its own loopback: each as ADDRESS:PORT, PREFIX:PORT or NAME:PORT, such as
	// 10.0.0.0/8:5432 or db.internal:5432. A name is looked up by the node when somebody connects, and stands for itself alone: an address that it
	// leads to isn't allowed by it.
	// default: none
	Forward []ForwardTarget `yaml:"forward"`
}

// ForwardTarget is where a node connects to for others.
type ForwardTarget string
