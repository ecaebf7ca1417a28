package config

import (
	"net/url"
	"regexp"
	"strings"
)

func pathPatternForm() form {
	return form{
		name:    "a path pattern",
		text:    "exact (`/login`), everything below (`/static/*`) or by extension (`*.jpg`), percent-encoded as in requests",
		example: "/static/*", json: []string{"string"}, pattern: `^(\*\.[^/*?#\s]+|/[^*?#\s]*\*?)$`,
		parse: func(text string) (any, *mistake) {
			if ext, ok := strings.CutPrefix(text, "*"); ok {
				if len(ext) < 2 || ext[0] != '.' || strings.ContainsAny(ext, "/*") {
					return nil, &mistake{quoted(text) + " is not an extension", "write one such as *.jpg, or /* for every path"}
				}
				return text, wrongPath(text, ext)
			}
			dir, below := strings.CutSuffix(text, "*")
			if below && !strings.HasSuffix(dir, "/") {
				fixed := strings.TrimRight(dir, "*") + "/*"
				return nil, &mistake{quoted(text) + " has a * that is not behind a slash", "write " + fixed + ", or the whole path"}
			}
			if strings.Contains(dir, "*") {
				return nil, &mistake{quoted(text) + " has a * inside", "write * only at the end behind a slash, or before .EXTENSION"}
			}
			return text, wrongAbsolutePath(dir)
		},
	}
}

func pathForm() form {
	return form{
		name: "a path", text: "begins with a slash; may have a query", example: "/healthz",
		json: []string{"string"}, pattern: `^/[^#\s]*$`,
		parse: func(text string) (any, *mistake) {
			path, _, _ := strings.Cut(text, "?")
			if m := wrongAbsolutePath(path); m != nil {
				return nil, m
			}
			if strings.ContainsAny(text, "# \t\r\n") {
				return nil, &mistake{quoted(text) + " has white space or a fragment", "write it as it stands in a request, such as /healthz"}
			}
			return text, nil
		},
	}
}

func wrongAbsolutePath(path string) *mistake {
	if !strings.HasPrefix(path, "/") {
		if strings.Contains(path, "://") {
			return &mistake{quoted(path) + " is a URL", "write only its path, such as /login"}
		}
		return &mistake{quoted(path) + " does not begin with a slash", "write /" + strings.TrimLeft(path, "./")}
	}
	return wrongPath(path, path)
}

// wrongPath says what keeps a request line from ever having path in it (RFC 9112 §3.2.1), or returns nil.
func wrongPath(whole, path string) *mistake {
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		return &mistake{quoted(whole) + " has a query or fragment", "write only the path; rules don't look at the query"}
	}
	for _, c := range []byte(path) {
		if c <= ' ' || c >= 0x7f {
			encoded := (&url.URL{Path: path}).EscapedPath()
			return &mistake{quoted(whole) + " has characters that paths carry percent-encoded", "write " + encoded}
		}
	}
	if _, err := url.PathUnescape(path); err != nil {
		return &mistake{quoted(whole) + " has a % without two hexadecimal digits", "write %25 for a percent sign"}
	}
	return nil
}

func methodForm() form {
	token := regexp.MustCompile(`^[A-Z][A-Z-]*$`)
	return form{
		name: "a method", text: "in capitals", example: "GET", json: []string{"string"}, pattern: `^[A-Z][A-Z-]*$`,
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

func parameterForm() form {
	return form{
		name: "a parameter", text: "the name of a query parameter, decoded", example: "page", json: []string{"string"}, pattern: `.`,
		parse: func(text string) (any, *mistake) {
			if text == "" {
				return nil, &mistake{"is empty", "write the name of a query parameter"}
			}
			if name, _, ok := strings.Cut(text, "="); ok && name != "" {
				return nil, &mistake{quoted(text) + " has a =", "write only the parameter's name, such as " + name}
			}
			return text, nil
		},
	}
}

func fileForm() form {
	return form{
		name: "a file", text: "a path; if not absolute, from the directory in which wherry was started", example: "/etc/wherry/ca.pem",
		json: []string{"string"}, pattern: `^[^\x00]+$`,
		parse: func(text string) (any, *mistake) {
			if strings.TrimSpace(text) == "" || strings.ContainsAny(text, "\x00\n") {
				return nil, &mistake{quoted(text) + " is not the path of a file", "write one such as /etc/wherry/ca.pem"}
			}
			return text, nil
		},
	}
}
