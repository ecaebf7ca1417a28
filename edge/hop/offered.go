package hop

import "strings"

// Offered says whether protocol is one of an offer's.
func Offered(offer, protocol string) bool {
	for p := range strings.SplitSeq(offer, ",") {
		if protocol != "" && strings.EqualFold(strings.TrimSpace(p), protocol) {
			return true
		}
	}
	return false
}
