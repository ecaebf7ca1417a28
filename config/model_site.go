package config

import (
	"net/url"
	"time"
)

// Site is what one customer serves under a set of hosts.
type Site struct {
	// A DNS label, unique in the network; the site's name in logs, metrics and commands.
	// required
	Name SiteName `yaml:"name"`

	// The hosts: exact (`shop.test`), all names one or more labels below (`"*.shop.test"`), or every host that no other site
	// claims (`"*"`, at most one site).
	// required
	Hosts []HostPattern `yaml:"hosts"`

	// Hosts that are other names of one host, such as www.shop.test of shop.test.
	Aliases []Alias `yaml:"aliases"`

	// The customer's servers. A site whose rules name programs needs none for what these answer; what no rule sends to a program is an error
	// 502 then.
	Origins []Origin `yaml:"origins"`

	// How origins are asked.
	Fetch Fetch `yaml:"fetch"`

	// The certificate for TLS. Without it the node's local CA issues one.
	TLS *TLS `yaml:"tls"`

	// How responses are cached.
	Cache Cache `yaml:"cache"`

	// What a node does that was away and can't know yet which purges it missed: `serve` what it has, and say so; or `strict`, ask
	// the origin for everything until it has caught up.
	// default: serve
	// one of: serve, strict
	Purge PurgeMode `yaml:"purge"`

	// Whom edges ask before the origins: `auto`, the cluster that stands nearest to them if it is much nearer than the edge itself;
	// `off`, nobody; or a cluster by its name. It holds in a network with control.
	// default: auto
	Parent Parent `yaml:"parent"`

	// The largest request body; more gets 413. 0 means no limit.
	// default: 0
	// range: 0 to 16TiB
	BodySize Size `yaml:"body_size"`

	// Exceptions by path and method. The first rule that matches a request applies; what it leaves out is as the site says.
	Rules []Rule `yaml:"rules"`
}

// Parent is auto, off, or the name of a cluster.
type Parent string

// The values of Parent that aren't names of clusters.
const (
	ParentAuto Parent = "auto"
	ParentOff  Parent = "off"
)

// PurgeMode says what holds while a node may have missed purges: serve or strict.
type PurgeMode string

// The values of PurgeMode.
const (
	PurgeServe  PurgeMode = "serve"
	PurgeStrict PurgeMode = "strict"
)

// Alias says that a host of the site has other names. A request for one of them is taken for one for the host: both share one
// copy, purging one purges the other, and origins see the host alone in Host and X-Forwarded-Host, without a port, so that
// nobody can poison the shared copy with it. The log has the name that was asked for.
type Alias struct {
	// The host that the others stand for: one of the site's `hosts`, or a name that one of their patterns matches.
	// required
	Host Host `yaml:"host"`

	// Its other names, as in `hosts`; an exact one goes before a pattern, a long pattern before a short one. `"*"` means all
	// further hosts of this site.
	// required
	Names []HostPattern `yaml:"names"`
}

// Origin is one of the customer's servers.
type Origin struct {
	// http:// or https:// with host and optional port; a path is put before the path of each request. Or `tunnel://NAME`, which has
	// to be the only origin: what `wherry tunnel --site NAME` offers, of fetch then host, header_timeout and body_timeout count.
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

	// How long a response stays fresh where the origin says nothing about it, instead of the guess by Last-Modified; counted from
	// when this node fetched it. For the statuses 200, 203, 204, 300, 301 and 308; `negative` is for errors. 0s: leave it to the
	// guess.
	// default: 0s
	// range: 0s to 8760h
	DefaultTTL *time.Duration `yaml:"default_ttl"`

	// How long a response stays fresh at most, whatever the origin says; counted from when this node fetched it. 0s: no limit.
	// default: 0s
	// range: 0s to 8760h
	MaxTTL *time.Duration `yaml:"max_ttl"`

	// How long errors stay fresh where the origin says nothing about it. The first entry with the status counts. Such a response
	// is never sent when it is stale, and a failure to reach the origin is no response.
	// default: none
	Negative []Negative `yaml:"negative"`

	// A response with Set-Cookie: `store` (as it is, where the origin gives its freshness or says public: each who gets the copy
	// gets the cookie), `strip` (without the cookie, which only the client gets that it was fetched for) or `refuse` (never).
	// Where the origin gives no freshness it is stored by strip and default_ttl together alone.
	// default: store
	// one of: store, strip, refuse
	SetCookie SetCookie `yaml:"set_cookie"`

	// Serve a stale response this long after it went stale when no origin answers, even where the origin doesn't say
	// stale-if-error itself. s-maxage, must-revalidate and its like still forbid it.
	// default: 0s
	// range: 0s to 8760h
	StaleIfError *time.Duration `yaml:"stale_if_error"`

	// Serve a stale response this long after it went stale while it is refreshed, even where the origin doesn't say
	// stale-while-revalidate itself. s-maxage, must-revalidate and its like still forbid it.
	// default: 0s
	// range: 0s to 8760h
	StaleWhileRevalidate *time.Duration `yaml:"stale_while_revalidate"`

	// Fetch what a page embeds while the page is on its way to the client: images, scripts, style sheets and what `Link` preloads, of the same site,
	// as far as its rules let the cache keep them. It is for pages that come from the origin; which of its objects a browser has already, the node
	// doesn't know.
	// default: false
	Prefetch *bool `yaml:"prefetch"`
}

// Negative says how long errors are kept.
type Negative struct {
	// Statuses that say something about the URL: 403, 404, 405, 410, 451, those from 500 to 599, or all of the latter (`5xx`).
	// required
	Status []StatusPattern `yaml:"status"`

	// How long.
	// required
	// range: 10ms to 24h
	TTL time.Duration `yaml:"ttl"`
}

// Key says which parts of a request make the cache key. The scheme, the path and the method's kind are always in it. Under one
// key stand at most 64 responses that differ by `headers`, `cookies` and the origin's Vary; a further one takes the place of the
// oldest.
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

	// These parameters of the query don't count, and don't reach the origin when the cache fetches. `utm_*` stands for all that
	// begin with `utm_`. Not beside query_only.
	QueryDrop []string `yaml:"query_drop"`

	// Request headers by whose values stored responses are told apart, as if each response had them in Vary. Take those with few
	// values. Headers that are not here reach the origin all the same: an origin that answers by one has to say so in Vary.
	Headers []string `yaml:"headers"`

	// Cookies by whose values stored responses are told apart. Where this is given, no other cookie counts, also if the origin
	// says Vary: Cookie, and no other reaches the origin when the cache fetches; `[]` means none at all.
	Cookies []string `yaml:"cookies"`
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

	// Ask this program, one of `programs`, and no origin. Its responses are cached like an origin's.
	// default: the site's ORIGINS
	Program ProgramName `yaml:"program"`

	// Ask this program before the cache: it lets the request go on, changed or as it is, or answers it.
	// default: NOBODY is asked
	RequestProgram ProgramName `yaml:"request_program"`

	// Have this program change what comes from the origin, before it is stored.
	// default: NOBODY changes it
	ResponseProgram ProgramName `yaml:"response_program"`
}

// Match is the condition of a rule.
type Match struct {
	// The path, one of these: exact (`/login`), everything below (`/static/*`), or by extension (`"*.jpg"`). Case counts.
	// All spellings of a path match alike: percent-encoding is undone, slashes are merged, dot segments removed.
	Paths []PathPattern `yaml:"paths"`

	// The method, one of these, such as GET.
	Methods []string `yaml:"methods"`
}
