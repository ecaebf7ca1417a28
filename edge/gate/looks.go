package gate

import "strings"

// LooksLikeHTTP says whether what begins a connection is a request, and no record of TLS.
func LooksLikeHTTP(record [5]byte) bool {
	switch method, _, _ := strings.Cut(string(record[:]), " "); method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "OPTIO", "DELET":
		return true
	}
	return false
}
