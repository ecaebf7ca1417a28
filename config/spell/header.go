package spell

import "strings"

// Unkeyable says why responses can't be told apart by a header, and what to do instead; empty if they can.
func Unkeyable(name string) (what, instead string) {
	switch name {
	case "Cookie":
		return "has all cookies, those of one client too", "write key.cookies with the names of those that count"
	case "Host", "X-Forwarded-Host", "X-Host", "X-Original-Host", "X-Http-Host-Override":
		return "is the host, which is in the key already", "write key.host"
	case "X-Forwarded-Proto":
		return "is the scheme, which is in the key already", "leave it out"
	case "Range", "Cache-Control", "Pragma", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range":
		return "is for the cache itself, which answers it from one copy", "leave it out"
	case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect", "Content-Length", "Via", "Cdn-Loop",
		"Forwarded", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "X-Cluster-Client-Ip", "Wherry-Request-Id", "Wherry-Trace":
		return "is taken off or made by the node itself", "leave it out"
	}
	switch {
	case strings.HasPrefix(name, "X-Forwarded-"), strings.HasPrefix(name, "Proxy-"):
		return "is taken off or made by the node itself", "leave it out"
	}
	return "", ""
}

// WrongParameter says what is wrong with the name of a query parameter, and what to write; nothing if it is right.
func WrongParameter(text string) (what, instead string) {
	if text == "" {
		return "is empty", "write the name of a query parameter"
	}
	if name, _, ok := strings.Cut(text, "="); ok && name != "" {
		return Quoted(text) + " has a =", "write only the parameter's name, such as " + name
	}
	return "", ""
}
