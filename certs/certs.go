package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
)

// ErrUnknownHost is in the chain of GetCertificate's error for a host that no site claims.
var ErrUnknownHost = errors.New("no site claims this host")

// Options are what a Keeper needs from outside.
type Options struct {
	CA  *CA              // issues what sites don't bring; nil: nobody does
	Now func() time.Time // nil means time.Now
	Log *slog.Logger     // nil means slog.Default
}

// Keeper has a certificate for each handshake. It is safe for use by many goroutines.
type Keeper struct {
	ca  *CA
	now func() time.Time
	log *slog.Logger

	// issuing is held while a leaf is made: two handshakes for one name make one, and a flood keeps one processor busy at most.
	issuing   sync.Mutex
	allowance allowance // of guessed leaves; under issuing

	mu   sync.Mutex // protects what follows; not held while a leaf is made
	snap *config.Snapshot
	own  map[config.SiteName]*tls.Certificate // from the files of all sites that name some
	// named has the leaves of the names in the configuration, guessed those of names that clients made up, within what the
	// configuration allows ("*"), and of local addresses.
	named, guessed *leaves
}

// New names are few in the life of a node, and guessed ones come from somebody who tries.
const (
	guessedMax       = 512
	guessedPerSecond = 20
	guessedBurst     = 100
)

// NewKeeper returns a Keeper that knows no site.
func NewKeeper(o Options) *Keeper {
	k := &Keeper{ca: o.CA, now: o.Now, log: o.Log, snap: &config.Snapshot{}, named: newLeaves(0), guessed: newLeaves(guessedMax)}
	if k.now == nil {
		k.now = time.Now
	}
	if k.log == nil {
		k.log = slog.Default()
	}
	k.allowance = allowance{perSecond: guessedPerSecond, burst: guessedBurst}
	return k
}

// Prepare reads the certificate files of snap's sites and returns how to answer by snap. Nothing changes before commit, which
// can't fail. The error names all files that can't be used.
func (k *Keeper) Prepare(snap *config.Snapshot) (commit func(), err error) {
	own := map[config.SiteName]*tls.Certificate{}
	var bad []error
	for i := range snap.Sites {
		site := &snap.Sites[i]
		if site.TLS == nil {
			continue
		}
		certificate, err := load(site.TLS)
		if err != nil {
			bad = append(bad, fmt.Errorf("site %s: %w", site.Name, err))
			continue
		}
		own[site.Name] = certificate
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	return func() { k.hold(snap, own) }, nil
}

// hold makes snap, with the certificates of its sites, the one that handshakes are answered by.
func (k *Keeper) hold(snap *config.Snapshot, own map[config.SiteName]*tls.Certificate) {
	for site, certificate := range own {
		k.warn(site, certificate)
	}
	names := leafNames(snap)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.snap, k.own = snap, own
	k.named.keep(func(name string) bool { return names[name] })
}

// warn tells of a certificate that clients refuse or soon will.
func (k *Keeper) warn(site config.SiteName, certificate *tls.Certificate) {
	const soon = 14 * 24 * time.Hour
	if left := certificate.Leaf.NotAfter.Sub(k.now()); left < soon {
		k.log.Warn("certificate expires soon or has expired", "site", site, "expires", certificate.Leaf.NotAfter)
	}
}

// load reads one site's certificate.
func load(files *config.TLS) (*tls.Certificate, error) {
	certificate, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	if err != nil {
		e := fault.New(fault.Config, "load certificate", http.StatusInternalServerError,
			fmt.Errorf("%s with key %s: %w", files.Certificate, files.Key, err))
		return nil, e
	}
	return &certificate, nil
}

// TLSConfig returns what a listener for HTTP needs. Session tickets are on, with keys that crypto/tls changes daily.
func (k *Keeper) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, // RFC 8996
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			certificate, err := k.GetCertificate(hello)
			if errors.Is(err, ErrUnknownHost) {
				// No certificate and no error is how crypto/tls is told to send the alert unrecognized_name (RFC 6066 §3); an error
				// would become internal_error.
				return nil, nil
			}
			return certificate, err
		},
	}
}

// GetCertificate returns the certificate for a handshake: the site's own, else a leaf of the local authority for the host, or for
// the connection's local address where the client names no host.
func (k *Keeper) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	w, err := k.want(hello)
	if err != nil {
		return nil, err
	}
	if w.own != nil {
		return w.own, nil
	}
	now := k.now()
	if c := k.cached(w, now); c != nil {
		return c, nil
	}
	return k.issue(w)
}

// wanted is the certificate that a handshake needs.
type wanted struct {
	own    *tls.Certificate // the site's, or
	leaf   string           // the name or address of the leaf
	cache  *leaves          // that has it
	metred bool             // a client can have any number of these issued
}

// want decides which certificate a handshake needs.
func (k *Keeper) want(hello *tls.ClientHelloInfo) (wanted, error) {
	host := config.Host(strings.ToLower(hello.ServerName))
	addr := netip.Addr{}
	if host == "" {
		if addr = localAddr(hello.Conn); !addr.IsValid() {
			return wanted{}, unknown("")
		}
		host = config.Host(addr.String())
	} else if !isHostName(string(host)) {
		return wanted{}, unknown(host)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	site, pattern := k.snap.Site(host)
	if site != nil && site.TLS != nil {
		return wanted{own: k.own[site.Name]}, nil
	}
	switch {
	case k.ca == nil, site == nil && !addr.IsValid():
		return wanted{}, unknown(host)
	case addr.IsValid():
		return wanted{leaf: string(host), cache: k.guessed}, nil
	}
	leaf, named := leafName(host, pattern)
	if named {
		return wanted{leaf: leaf, cache: k.named}, nil
	}
	return wanted{leaf: leaf, cache: k.guessed, metred: true}, nil
}

func unknown(host config.Host) error {
	return fault.New(fault.Client, "handshake", http.StatusMisdirectedRequest, fmt.Errorf("%q: %w", host, ErrUnknownHost))
}

// localAddr returns the address at which a connection arrived.
func localAddr(conn net.Conn) netip.Addr {
	if conn == nil || conn.LocalAddr() == nil {
		return netip.Addr{}
	}
	at, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap().WithZone("")
}

// cached returns w's leaf if it is there and good for a while.
func (k *Keeper) cached(w wanted, now time.Time) *tls.Certificate {
	if c := k.leaf(w); c != nil && now.Before(renewal(c)) {
		return c
	}
	return nil
}

func (k *Keeper) leaf(w wanted) *tls.Certificate {
	k.mu.Lock()
	defer k.mu.Unlock()
	return w.cache.get(w.leaf)
}

// issue has the authority make w's leaf.
func (k *Keeper) issue(w wanted) (*tls.Certificate, error) {
	k.issuing.Lock()
	defer k.issuing.Unlock()
	now := k.now()
	if c := k.cached(w, now); c != nil {
		return c, nil // of the handshake before
	}
	c, err := k.make(w, now)
	if err != nil {
		if old := k.leaf(w); old != nil && now.Before(old.Leaf.NotAfter) {
			return old, nil
		}
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	w.cache.put(w.leaf, c)
	return c, nil
}

func (k *Keeper) make(w wanted, now time.Time) (*tls.Certificate, error) {
	if w.metred && !k.allowance.take(now) {
		return nil, fault.New(fault.Edge, "handshake", http.StatusServiceUnavailable,
			fmt.Errorf("certificate for %q: too many new hosts at once", w.leaf))
	}
	c, err := k.ca.issue(w.leaf, now)
	if err != nil {
		return nil, fault.New(fault.Edge, "handshake", http.StatusInternalServerError, err)
	}
	return c, nil
}
