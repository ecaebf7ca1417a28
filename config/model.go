package config

import (
	"net/netip"
	"net/url"
	"time"
)

// The comments below are the reference: Parse, Schema and Reference read them. After a field's text may stand the lines
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

	// Where log records go.
	Log Log `yaml:"log"`

	// The places in which nodes stand. Without any there is one cluster `local` with one node that has this machine's
	// loopback address.
	Clusters []Cluster `yaml:"clusters"`

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
}

// Memory bounds the cache of one node.
type Memory struct {
	// All stored responses together, header and body, with what the store itself needs.
	// default: 256MiB
	// range: 64KiB to 16TiB
	Cache Size `yaml:"cache"`

	// The largest response that is stored; a larger one passes through unstored.
	// default: 32MiB
	// range: 1KiB to 1TiB
	Object Size `yaml:"object"`
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
}

// Site is what one customer serves under a set of hosts.
type Site struct {
	// A DNS label, unique in the network; the site's name in logs, metrics and commands.
	// required
	Name SiteName `yaml:"name"`

	// The hosts: exact (`shop.test`), all names one or more labels below (`"*.shop.test"`), or every host that no other site
	// claims (`"*"`, at most one site).
	// required
	Hosts []HostPattern `yaml:"hosts"`

	// The customer's servers.
	// required
	Origins []Origin `yaml:"origins"`

	// How origins are asked.
	Fetch Fetch `yaml:"fetch"`

	// The certificate for TLS. Without it the node's local CA issues one.
	TLS *TLS `yaml:"tls"`

	// How responses are cached.
	Cache Cache `yaml:"cache"`

	// The largest request body; more gets 413. 0 means no limit.
	// default: 0
	// range: 0 to 16TiB
	BodySize Size `yaml:"body_size"`

	// Exceptions by path and method. The first rule that matches a request applies; what it leaves out is as the site says.
	Rules []Rule `yaml:"rules"`
}

// Origin is one of the customer's servers.
type Origin struct {
	// http:// or https:// with host and optional port; a path is put before the path of each request.
	// required
	URL *url.URL `yaml:"url"`

	// Its share of the requests against the weights of the other origins.
	// default: 1
	// range: 1 to 1000
	Weight int `yaml:"weight"`

	// Asked only when no other origin of the site is healthy.
	// default: false
	Backup bool `yaml:"backup"`
}

// Fetch says how the origins of a site are asked.
type Fetch struct {
	// The Host that origins see: `origin` (the host of the origin's URL), `client` (as the client sent it) or a fixed name.
	// default: client
	Host string `yaml:"host"`

	// To open a TCP connection.
	// default: 3s
	// range: 10ms to 5m
	ConnectTimeout time.Duration `yaml:"connect_timeout"`

	// To finish the TLS handshake.
	// default: 5s
	// range: 10ms to 5m
	TLSTimeout time.Duration `yaml:"tls_timeout"`

	// From the request's last byte to the response's header section.
	// default: 30s
	// range: 10ms to 1h
	HeaderTimeout time.Duration `yaml:"header_timeout"`

	// The longest silence inside a response body.
	// default: 30s
	// range: 10ms to 1h
	BodyTimeout time.Duration `yaml:"body_timeout"`

	// How often a request may be sent to another origin after a failure. Only requests that are safe to repeat are: no body
	// and an idempotent method, or nothing of them sent yet.
	// default: 2
	// range: 0 to 10
	Retries int `yaml:"retries"`

	// Open connections to one origin; further requests wait, at most connect_timeout.
	// default: 256
	// range: 1 to 65535
	Connections int `yaml:"connections"`

	// A PEM file with the authorities that may have signed the origins' certificates, instead of the system's.
	CAFile string `yaml:"ca_file"`

	// Asks each origin by itself whether it is alive. Without it only the requests of clients tell.
	Health *Health `yaml:"health"`
}

// Health is the active check of a site's origins.
type Health struct {
	// The path that is asked with GET.
	// default: /
	Path string `yaml:"path"`

	// How often.
	// default: 5s
	// range: 10ms to 1h
	Interval time.Duration `yaml:"interval"`

	// The longest that the answer may take.
	// default: 2s
	// range: 10ms to 5m
	Timeout time.Duration `yaml:"timeout"`

	// The status that means healthy; 0 means any from 200 to 399.
	// default: 0
	// range: 0 to 599
	Status int `yaml:"status"`
}

// TLS names the files of a certificate.
type TLS struct {
	// A PEM file with the certificate and the intermediates.
	// required
	Certificate string `yaml:"certificate"`

	// A PEM file with the private key.
	// required
	Key string `yaml:"key"`
}

// Cache says how the responses of a site, or of the requests that a rule matches, are cached. What the origin says in
// Cache-Control always counts; nothing here makes a private response shared.
type Cache struct {
	// Whether responses are stored and reused at all.
	// default: true
	Enabled *bool `yaml:"enabled"`

	// Which parts of a request name the stored response.
	Key Key `yaml:"key"`

	// Serve a stale response this long after it went stale when no origin answers, even where the origin doesn't say
	// stale-if-error itself. must-revalidate and its like still forbid it.
	// default: 0s
	// range: 0s to 8760h
	StaleIfError *time.Duration `yaml:"stale_if_error"`

	// Serve a stale response this long after it went stale while it is refreshed, even where the origin doesn't say
	// stale-while-revalidate itself. must-revalidate and its like still forbid it.
	// default: 0s
	// range: 0s to 8760h
	StaleWhileRevalidate *time.Duration `yaml:"stale_while_revalidate"`
}

// Key says which parts of a request make the cache key. The scheme, the path and the method's kind are always in it.
type Key struct {
	// Whether the host is in it: false makes all hosts of the site share one copy of each path. Then no field that repeats
	// the client's host is sent to the origin, so that nobody can poison the shared copy with it.
	// default: true
	Host *bool `yaml:"host"`

	// The query: `keep` (as sent), `sort` (parameters in one order), `drop` (ignore it all). A fetch for the cache asks the origin
	// with what is left of it, so that nobody can poison the shared copy with the rest.
	// default: keep
	// one of: keep, sort, drop
	Query QueryKey `yaml:"query"`

	// Of the query's parameters only these count, when given, and only these reach the origin when the cache fetches.
	QueryOnly []string `yaml:"query_only"`
}

// Rule is an exception to the site's settings.
type Rule struct {
	// A DNS label, unique in the site; the rule's name in logs and `wherry config explain`.
	// required
	Name string `yaml:"name"`

	// Which requests it matches: all given conditions must hold.
	Match Match `yaml:"match"`

	// What is different about caching.
	// default: the site's `cache`
	Cache Cache `yaml:"cache"`

	// Answer with this status at once and ask no origin; 0 means don't.
	// default: 0
	// one of: 0, 403, 404, 410, 451
	Refuse int `yaml:"refuse"`
}

// Match is the condition of a rule.
type Match struct {
	// The path, one of these: exact (`/login`), everything below (`/static/*`), or by extension (`"*.jpg"`). Case counts.
	// All spellings of a path match alike: percent-encoding is undone, slashes are merged, dot segments removed.
	Paths []PathPattern `yaml:"paths"`

	// The method, one of these, such as GET.
	Methods []string `yaml:"methods"`
}
