package spell

import "strings"

// NormalPath returns the one spelling of a path by which rules match: percent-encoding undone, slashes merged, dot segments
// removed (RFC 3986 §5.2.4, §6.2.2). It is never sent anywhere. What is no valid encoding stays as it is.
func NormalPath(path string) string {
	if !strings.Contains(path, "%") && !strings.Contains(path, "//") && !strings.Contains(path, "/.") && !strings.Contains(path, `\`) {
		return path
	}
	var kept []string
	decoded := strings.ReplaceAll(undoEncoding(path), `\`, "/") // as many servers read it
	segments := strings.Split(decoded, "/")
	for i, segment := range segments {
		last := i == len(segments)-1
		switch segment {
		case "..":
			if len(kept) > 0 {
				kept = kept[:len(kept)-1]
			}
		case ".", "":
		default:
			kept = append(kept, segment)
			continue
		}
		if last {
			kept = append(kept, "") // the path ends in a slash
		}
	}
	return "/" + strings.Join(kept, "/")
}

// undoEncoding decodes until nothing is left to decode, in one pass: an origin behind another proxy may see %252f as a slash.
func undoEncoding(path string) string {
	out := make([]byte, 0, len(path))
	for i := range len(path) {
		out = append(out, path[i])
		// A byte that is decoded may be the last of another encoding.
		for n := len(out); n >= 3 && out[n-3] == '%'; n = len(out) {
			high, low := unhex(out[n-2]), unhex(out[n-1])
			if high < 0 || low < 0 {
				break
			}
			out = append(out[:n-3], byte(high<<4|low))
		}
	}
	return string(out)
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
