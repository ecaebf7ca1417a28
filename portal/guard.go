package portal

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/wherry/wherry/config"
)

// bodyMaxBytes bounds a request's body, which none of the portal's own routes needs.
const bodyMaxBytes = 16 << 10

// pagePolicy lets a page of ours load only our own files, and be part of nobody else's page.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func setSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// checkHost stops DNS rebinding: a name of somebody else's that resolves to our loopback address makes their page same-origin
// with ours in the eyes of a browser, but it can't make the browser send another Host (RFC 9110 §7.4 names the status).
func (p *Portal) checkHost(_ http.ResponseWriter, r *http.Request, _ route) *problem {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		if at, err := netip.ParseAddrPort(local.String()); err == nil && !at.Addr().Unmap().IsLoopback() {
			return nil
		}
	}
	host := config.CanonicalHost(r.Host)
	if _, err := netip.ParseAddr(string(host)); err == nil || host == "localhost" || slices.Contains(p.hosts, host) {
		return nil
	}
	return refusal("host", http.StatusMisdirectedRequest,
		fmt.Sprintf("The portal was asked as %q, which is none of its names: a foreign page may have pointed that name at this machine.",
			host),
		"Ask it by its address, such as http://127.0.0.1, or as localhost.")
}

// checkOrigin refuses what a page of another origin makes a browser send.
func (p *Portal) checkOrigin(_ http.ResponseWriter, r *http.Request, _ route) *problem {
	if err := p.crossOrigin.Check(r); err != nil {
		return refusal("origin", http.StatusForbidden, "A page of another origin sent this request.",
			"Send it from a page of the portal itself or from a program.")
	}
	return nil
}

func (p *Portal) checkMethod(w http.ResponseWriter, r *http.Request, t route) *problem {
	if t.method == "" || r.Method == t.method || r.Method == http.MethodHead && t.method == http.MethodGet {
		return nil
	}
	allow := t.method
	if allow == http.MethodGet {
		allow = "GET, HEAD"
	}
	w.Header().Set("Allow", allow) // RFC 9110 §15.5.6
	return refusal("method", http.StatusMethodNotAllowed, fmt.Sprintf("%s is not for %s.", r.Method, r.URL.Path), "Use "+allow+".")
}

// checkToken asks for the operator's token as a bearer token (RFC 6750 §2.1).
func (p *Portal) checkToken(w http.ResponseWriter, r *http.Request, t route) *problem {
	if !t.operator {
		return nil
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	given := strings.EqualFold(scheme, "Bearer")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if given && p.tokenSet && subtle.ConstantTimeCompare(sum[:], p.token[:]) == 1 {
		return nil
	}
	challenge, detail := `Bearer realm="wherry operator"`, "This is for operators, and the request has no token."
	if given {
		challenge += `, error="invalid_token"` // RFC 6750 §3.1
		detail = "The token is not this network's operator token."
	}
	w.Header().Set("WWW-Authenticate", challenge)
	action := "Send `Authorization: Bearer TOKEN` with the operator token of this network."
	if !p.tokenSet {
		detail, action = "This network has no operator token, so nobody can do this.", "Start it with an operator token."
	}
	return refusal("token", http.StatusUnauthorized, detail, action)
}
