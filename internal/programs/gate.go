package programs

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/trace"
)

// The names that programs have for what isn't a host of their site.
const (
	edgeName   = "edge" // the site, by the host that the program was asked by
	valuesName = "kv"   // the tenant's key-value store
)

// call is what the context of a program's call has: for whom it answers.
type call struct {
	site http.Handler // takes requests to the site's cache and origins; nil: the program answers for none
	from *http.Request
}

type callKey struct{}

// answer takes what programs ask while they answer.
func (s *Set) answer(w http.ResponseWriter, r *http.Request) {
	asker, _ := compute.AskerOf(r.Context())
	host := r.Host
	if name, port, err := net.SplitHostPort(host); err == nil && port == "80" {
		host = name
	}
	switch c, _ := valueOf(asker.Call, callKey{}).(call); {
	case strings.EqualFold(host, valuesName):
		if s.o.Values == nil {
			http.Error(w, "This node has no key-value store.", http.StatusServiceUnavailable)
			return
		}
		s.o.Values.ServeHTTP(w, r)
	case c.site == nil:
		http.Error(w, "The program answers for no site here, so there is none that it could ask.", http.StatusServiceUnavailable)
	case r.URL.Scheme == "https":
		http.Error(w, "Ask for http://, and the edge asks the origin as its configuration says.", http.StatusBadRequest)
	default:
		c.ask(w, r, host, asker.Call)
	}
}

// ask has r go to the site, as the client's whom the program answers.
func (c call) ask(w http.ResponseWriter, r *http.Request, host string, over context.Context) {
	out := r.WithContext(trace.With(r.Context(), trace.From(over)))
	if strings.EqualFold(host, edgeName) {
		host = c.from.Host
	}
	out.Host, out.URL = host, &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	out.RequestURI = out.URL.RequestURI()
	out.RemoteAddr, out.TLS = netip.AddrPortFrom(client(c.from), 0).String(), nil
	if c.from.Header.Get("X-Forwarded-Proto") == "https" {
		out.TLS = &tls.ConnectionState{Version: tls.VersionTLS13, HandshakeComplete: true}
	}
	c.site.ServeHTTP(w, out)
}

// client is who the edge says has asked.
func client(r *http.Request) netip.Addr {
	addr, err := netip.ParseAddr(r.Header.Get("X-Forwarded-For"))
	if err != nil {
		return netip.IPv6Loopback()
	}
	return addr
}

func valueOf(ctx context.Context, key any) any {
	if ctx == nil {
		return nil
	}
	return ctx.Value(key)
}

// Namespace is whose values a request of a program is about: all programs of a tenant have the same.
func Namespace(ctx context.Context) (string, bool) {
	asker, ok := compute.AskerOf(ctx)
	return asker.Tenant, ok
}
