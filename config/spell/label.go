package spell

import "fmt"

// LabelMax is the longest label of a name (RFC 1035 §2.3.4), in octets.
const LabelMax = 63

// WrongLabel says what is wrong with a label of a host name (RFC 952, RFC 1123 §2.1), or "". Names of origins may have
// underscores, which names of containers and service records do.
func WrongLabel(label string, underscore bool) string {
	switch {
	case label == "":
		return "has an empty label"
	case len(label) > LabelMax:
		return fmt.Sprintf("has a label longer than %d characters", LabelMax)
	case label[0] == '-' || label[len(label)-1] == '-':
		return "has a label that begins or ends with a hyphen"
	}
	for _, c := range []byte(label) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_' && underscore:
		case 'A' <= c && c <= 'Z':
			return "has upper-case letters"
		case c >= 0x80:
			return "has letters outside ASCII"
		default:
			return fmt.Sprintf("has the character %q", c)
		}
	}
	return ""
}
