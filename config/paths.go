package config

import (
	"path"
	"regexp"
	"strings"

	"github.com/wherry/wherry/config/spell"
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
				return text, wrongPath(text, spell.Encoded(text))
			}
			dir := strings.TrimRight(text, "*")
			if strings.Contains(dir, "*") {
				return nil, &mistake{quoted(text) + " has a * inside", "write * only at the end behind a slash, or before .EXTENSION"}
			}
			if dir == text || strings.HasSuffix(text, "/*") {
				return text, wrongPath(text, spell.Absolute(text))
			}
			return text, wrongPath(text, spell.Absolute(strings.TrimRight(dir, "/")+"/*"))
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
			return text, wrongPath(path, spell.Absolute(path))
		},
	}
}

func wrongPath(text, fixed string) *mistake { return mistaken(spell.WrongPath(text, fixed)) }

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
