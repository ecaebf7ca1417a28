package hop

import (
	"net/http"
	"strings"
)

// Forged says whether origins may take what a client says in the field name for this node's word.
func Forged(name string) bool {
	if strings.IndexByte(name, '_') >= 0 {
		// CGI and its kin make one variable of X_Forwarded_For and X-Forwarded-For (RFC 3875 §4.1.18), and one of the length.
		name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Cdn-Loop", "Via", RequestIDField:
			return true
		}
		if OverridesMethod(name) {
			return true
		}
	}
	switch name {
	case "Forwarded", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip", "X-Cluster-Client-Ip", "Front-End-Https",
		"X-Host", "X-Original-Host", "X-Http-Host-Override", "X-Original-Url", "X-Rewrite-Url",
		"Wherry-Stage", "Wherry-Status", "Wherry-Target": // what programs are told (compute/stage)
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "Wherry-Set-")
}

// OverridesMethod says whether origins may take what the field says for the method. On POST that is what it is for; a GET with it
// would have another method's response stored.
func OverridesMethod(name string) bool {
	switch name {
	case "X-Http-Method-Override", "X-Http-Method", "X-Method-Override":
		return true
	}
	return false
}

// UpgradeOf returns the protocols that the request would switch to (RFC 9110 §7.8), or the empty string for a request that is
// served like any other. Those that would carry further requests past the steps (h2c, HTTP, TLS) are not among them: with them a
// client could talk to the origin as if there were no edge.
func UpgradeOf(r *http.Request) string {
	values := r.Header["Upgrade"]
	if values == nil {
		return ""
	}
	defer delete(r.Header, "Upgrade")
	if r.ProtoMajor != 1 || r.ProtoMinor < 1 || r.ContentLength != 0 || !HasToken(r.Header["Connection"], "upgrade") {
		return ""
	}
	var protocols []string
	for _, value := range values {
		for protocol := range strings.SplitSeq(value, ",") {
			protocol = strings.TrimSpace(protocol)
			name, _, _ := strings.Cut(strings.ToLower(protocol), "/")
			if name != "" && name != "h2c" && name != "h2" && name != "http" && name != "tls" {
				protocols = append(protocols, protocol)
			}
		}
	}
	return strings.Join(protocols, ", ")
}

// HasToken says whether token, which is in lower case, is in the list that values make.
func HasToken(values []string, token string) bool {
	for _, value := range values {
		for t := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(t), token) {
				return true
			}
		}
	}
	return false
}
