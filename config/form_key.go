package config

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/wherry/wherry/config/spell"
)

// The forms of what makes a cache key, and of what is kept under it.

func parameterForm() Form {
	return Form{
		Name: "a parameter", Text: "the name of a query parameter, decoded", Example: "page", JSON: []string{"string"}, Pattern: `.`,
		parse: func(text string) (any, *mistake) {
			if m := mistaken(spell.WrongParameter(text)); m != nil {
				return nil, m
			}
			return text, nil
		},
	}
}

func parameterPatternForm() Form {
	return Form{
		Name: "a parameter pattern", Text: "the name of a query parameter, decoded, or the beginning of names and `*`", Example: "utm_*",
		JSON: []string{"string"}, Pattern: `^[^*]+\*?$`,
		parse: func(text string) (any, *mistake) {
			if m := mistaken(spell.WrongParameter(text)); m != nil {
				return nil, m
			}
			switch prefix := strings.TrimRight(text, "*"); {
			case prefix == "":
				return nil, &mistake{quoted(text) + " stands for every parameter", "write query: drop"}
			case strings.Contains(prefix, "*"):
				return nil, &mistake{quoted(text) + " has a * inside", "write * only at the end, such as utm_*"}
			case len(text)-len(prefix) > 1:
				return nil, &mistake{quoted(text) + " has several *", "write " + prefix + "*"}
			}
			return text, nil
		},
	}
}

// tokenPattern is the shape of names of header fields, and of cookies (RFC 9110 §5.6.2, RFC 6265 §4.1.1).
const tokenPattern = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"

func headerForm() Form {
	shape := regexp.MustCompile(tokenPattern)
	return Form{
		Name: "a header", Text: "the name of a request header, in any case", Example: "X-Country", JSON: []string{"string"}, Pattern: tokenPattern,
		parse: func(text string) (any, *mistake) {
			if name, _, ok := strings.Cut(text, ":"); ok && shape.MatchString(name) {
				return nil, &mistake{quoted(text) + " has a colon", "write only the header's name, such as " + name}
			}
			if !shape.MatchString(text) {
				return nil, &mistake{quoted(text) + " is not the name of a header", "write one such as X-Country"}
			}
			name := http.CanonicalHeaderKey(text)
			if what, instead := spell.Unkeyable(name); what != "" {
				return nil, &mistake{name + " " + what, instead}
			}
			return name, nil
		},
	}
}

func cookieForm() Form {
	shape := regexp.MustCompile(tokenPattern)
	return Form{
		Name: "a cookie", Text: "the name of a cookie; case counts", Example: "lang", JSON: []string{"string"}, Pattern: tokenPattern,
		parse: func(text string) (any, *mistake) {
			if name, _, ok := strings.Cut(text, "="); ok && shape.MatchString(name) {
				return nil, &mistake{quoted(text) + " has a =", "write only the cookie's name, such as " + name}
			}
			if !shape.MatchString(text) {
				return nil, &mistake{quoted(text) + " is not the name of a cookie", "write one such as lang"}
			}
			return text, nil
		},
	}
}

func statusForm() Form {
	const example, allowed = "404", "write 403, 404, 405, 410, 451, one from 500 to 599, or 5xx"
	digits := regexp.MustCompile(`^[1-5][0-9][0-9]$`)
	return Form{
		Name: "a status", Text: "403, 404, 405, 410, 451, one from 500 to 599, or `5xx` for all of the latter", Example: example,
		JSON: []string{"integer", "string"}, Pattern: `^(403|404|405|410|451|5[0-9][0-9]|5xx)$`,
		parse: func(text string) (any, *mistake) {
			switch text {
			case "403", "404", "405", "410", "451", "5xx":
				return text, nil
			case "5XX":
				return nil, &mistake{quoted(text) + " is in upper case", "write 5xx"}
			}
			switch {
			case !digits.MatchString(text) && !strings.HasSuffix(strings.ToLower(text), "xx"):
				return nil, &mistake{quoted(text) + " is not a status", allowed}
			case text[0] == '5' && digits.MatchString(text):
				return text, nil
			case text[0] == '4':
				// One client's bad request, or missing credentials, must not lock all others out.
				return nil, &mistake{quoted(text) + " may tell of one request alone, not of what is at the URL", allowed}
			}
			return nil, &mistake{quoted(text) + " is no error", "write default_ttl, or " + strings.TrimPrefix(allowed, "write ")}
		},
	}
}
