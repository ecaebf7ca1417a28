package config

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

func pathPatternForm() Form {
	return Form{
		Name:    "a path pattern",
		Text:    "exact (`/login`), everything below (`/static/*`) or by extension (`*.jpg`), percent-encoded as in requests",
		Example: "/static/*", JSON: []string{"string"}, Pattern: `^(\*\.[^/*?#\s]+|/[^*?#\s]*\*?)$`,
		parse: func(text string) (any, *mistake) {
			if ext, ok := strings.CutPrefix(text, "*"); ok {
				if len(ext) < 2 || ext[0] != '.' || strings.ContainsAny(ext, "/*") {
					return nil, &mistake{quoted(text) + " is not an extension", "write one such as *.jpg, or /* for every path"}
				}
				return text, wrongPath(text, encoded(text))
			}
			dir := strings.TrimRight(text, "*")
			if strings.Contains(dir, "*") {
				return nil, &mistake{quoted(text) + " has a * inside", "write * only at the end behind a slash, or before .EXTENSION"}
			}
			if dir == text || strings.HasSuffix(text, "/*") {
				return text, wrongPath(text, absolute(text))
			}
			return text, wrongPath(text, absolute(strings.TrimRight(dir, "/")+"/*"))
		},
	}
}

func pathForm() Form {
	return Form{
		Name: "a path", Text: "begins with a slash; may have a query", Example: "/healthz",
		JSON: []string{"string"}, Pattern: `^/[^#\s]*$`,
		parse: func(text string) (any, *mistake) {
			path, query, _ := strings.Cut(text, "?")
			if strings.Contains(text, "#") || strings.ContainsAny(query, " \t\r\n") {
				return nil, &mistake{quoted(text) + " has white space or a fragment", "write it as it stands in a request, such as /healthz"}
			}
			return text, wrongPath(path, absolute(path))
		},
	}
}

// wrongPath says what keeps a request line from ever having text in it (RFC 9112 §3.2.1), or returns nil. fixed is what to write
// where text only isn't written as there.
func wrongPath(text, fixed string) *mistake {
	switch _, err := url.PathUnescape(text); {
	case strings.Contains(text, "://") && !strings.HasPrefix(text, "/"):
		return &mistake{quoted(text) + " is a URL", "write only its path, such as /login"}
	case strings.ContainsAny(text, "?#"):
		return &mistake{quoted(text) + " has a query or fragment", "write only the path; rules don't look at the query"}
	case err != nil:
		return &mistake{quoted(text) + " has a % without two hexadecimal digits", "write %25 for a percent sign"}
	case text == fixed:
		return nil
	case strings.HasSuffix(fixed, "/*") && !strings.HasSuffix(text, "/*"):
		return &mistake{quoted(text) + " has a * that is not behind a slash", "write " + fixed + ", or the whole path"}
	case strings.HasPrefix(fixed, "/") && !strings.HasPrefix(text, "/"):
		return &mistake{quoted(text) + " does not begin with a slash", "write " + fixed}
	}
	return &mistake{quoted(text) + " has characters that paths carry percent-encoded", "write " + fixed}
}

// absolute returns path as a request line has it: percent-encoded and from the root.
func absolute(path string) string {
	if !strings.HasPrefix(path, "/") {
		path = "/" + regexp.MustCompile(`^(\.{0,2}(/|$))+`).ReplaceAllString(path, "")
	}
	return encoded(path)
}

// encoded percent-encodes what no URI has (RFC 3986 §2.1), and leaves what may be encoded already as it is.
func encoded(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if c <= ' ' || c >= 0x7f {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

func methodForm() Form {
	token := regexp.MustCompile(`^[A-Z][A-Z-]*$`)
	return Form{
		Name: "a method", Text: "in capitals", Example: "GET", JSON: []string{"string"}, Pattern: `^[A-Z][A-Z-]*$`,
		parse: func(text string) (any, *mistake) {
			if !token.MatchString(text) {
				if upper := strings.ToUpper(text); token.MatchString(upper) {
					return nil, &mistake{quoted(text) + " is in lower case, and case counts in methods", "write " + upper}
				}
				return nil, &mistake{quoted(text) + " is not a method", "write one such as GET"}
			}
			return text, nil
		},
	}
}

// fileForm is for a file of the kind that example is of.
func fileForm(example string) Form {
	return Form{
		Name: "a file", Text: "a path; if not absolute, from the directory in which wherry was started", Example: example,
		JSON: []string{"string"}, Pattern: `^[^\x00]+$`,
		parse: func(text string) (any, *mistake) {
			if wrongFile(text) {
				return nil, &mistake{quoted(text) + " is not the path of a file", "write one such as " + example}
			}
			return text, nil
		},
	}
}

func directoryForm() Form {
	const example = "/var/cache/wherry"
	return Form{
		Name: "a directory", Text: "a path; if not absolute, from the directory in which wherry was started", Example: example,
		JSON: []string{"string"}, Pattern: `^[^\x00]+$`,
		parse: func(text string) (any, *mistake) {
			switch {
			case wrongFile(text):
				return nil, &mistake{quoted(text) + " is not the path of a directory", "write one such as " + example}
			case path.Clean(text) == "/":
				return nil, &mistake{quoted(text) + " is the whole file system", "write a directory for the cache alone, such as " + example}
			}
			return text, nil
		},
	}
}

func wrongFile(path string) bool {
	return strings.TrimSpace(path) == "" || strings.ContainsAny(path, "\x00\n")
}

func destinationForm() Form {
	return Form{
		Name: "a destination", Text: "`stdout`, `stderr`, `off` or the path of a file", Example: "stdout",
		JSON: []string{"string"}, Pattern: `^[^\x00]+$`,
		parse: func(text string) (any, *mistake) {
			if wrongFile(text) {
				return nil, &mistake{
					quoted(text) + " is no destination", "write stdout, stderr, off or a file such as /var/log/wherry/access.log",
				}
			}
			return text, nil
		},
	}
}
