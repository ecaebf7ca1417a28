package page

import "net/http"

// Refusal is the notice of a rule that refuses with a status.
func Refusal(status int) string {
	switch status {
	case http.StatusNotFound:
		return "The site has nothing at this address."
	case http.StatusGone:
		return "What was at this address is gone for good."
	case http.StatusUnavailableForLegalReasons:
		return "The site may not serve this for legal reasons."
	}
	return "The site does not serve this request."
}
