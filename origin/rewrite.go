package origin

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"strings"
)

// rewrite returns req as it goes to s: another context, URL and Host, the same everything else. The result shares header and
// trailer with req unless a field has to be kept out.
func rewrite(ctx context.Context, req *http.Request, s *server, hostRule string) *http.Request {
	out := req.WithContext(ctx)
	out.Host = outHost(req, s, hostRule)
	out.URL = outURL(req.URL, s, out.Host)
	out.Close = false // persistence is a matter of each connection (RFC 9112 §9.3)
	out.RequestURI = ""
	out.Response = nil
	out.GetBody = nil
	if _, ok := req.Header["User-Agent"]; !ok {
		out.Header = maps.Clone(req.Header)
		if out.Header == nil {
			out.Header = http.Header{}
		}
		out.Header["User-Agent"] = nil // keeps the transport from adding its own
	}
	return out
}

// outHost returns the Host that the origin sees, by fetch.host.
func outHost(req *http.Request, s *server, rule string) string {
	switch rule {
	case "origin":
		return s.host
	case "client", "":
		if req.Host != "" {
			return req.Host
		}
		return req.URL.Host
	}
	return rule
}

// outURL returns the URL of u's path and query at s. The transport sends EscapedPath, which is RawPath if that is a valid
// encoding of Path; bytes that it would encode anew, such as a raw `|`, only survive in Opaque.
func outURL(u *url.URL, s *server, host string) *url.URL {
	path := rawPath(u)
	if path != "*" { // of OPTIONS, RFC 9112 §3.2.4
		path = s.prefix + path
	}
	out := &url.URL{Scheme: s.scheme, Host: s.host, RawQuery: u.RawQuery, ForceQuery: u.ForceQuery}
	if u.RawPath == "" && u.Opaque == "" && !strings.Contains(path, "%") {
		out.Path = path
	} else if decoded, err := url.PathUnescape(path); err == nil {
		out.Path, out.RawPath = decoded, path
	}
	switch {
	case out.EscapedPath() == path:
	case !strings.HasPrefix(path, "//"):
		out.Opaque = path
	default:
		// A path that begins with // can't stand in Opaque alone; the absolute form that comes of this has to be understood by
		// every server (RFC 9112 §3.2.2) and becomes a plain path again in HTTP/2.
		out.Opaque = "//" + host + path
	}
	return out
}

// rawPath returns u's path as the client sent it, "/" if it is empty (RFC 9110 §4.2.3).
func rawPath(u *url.URL) string {
	path := u.Opaque
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") {
		path = ""
	}
	if path == "" && u.RawPath != "" {
		// RawPath counts only as long as it says the same as Path.
		if decoded, err := url.PathUnescape(u.RawPath); err == nil && decoded == u.Path {
			path = u.RawPath
		}
	}
	if path == "" {
		path = u.EscapedPath()
	}
	if path == "" {
		path = "/"
	}
	return path
}
