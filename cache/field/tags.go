package field

import (
	"net/http"
	"strings"
)

const (
	// TagsMax is how many tags a response may have.
	TagsMax = 1000
	// TagBytesMax is how long a tag may be.
	TagBytesMax = 1 << 10
)

// tagFields are the fields that only caches are meant to see; no client gets them.
var tagFields = [...]string{"Cache-Tag", "Edge-Cache-Tag", "Surrogate-Key"}

// ForCaches says whether the field with this canonical name speaks to caches alone, and isn't sent to clients.
func ForCaches(name string) bool {
	switch name {
	case tagFields[0], tagFields[1], tagFields[2]:
		return true
	}
	return false
}

// Tags returns the names by which a response can be purged: the members of Cache-Tag and Edge-Cache-Tag, which commas separate, and of
// Surrogate-Key, which spaces separate. They are compared byte by byte. ok is false where there are more, or longer ones, than it
// promises to remember: such a response could not be purged by all of its tags.
func Tags(h http.Header) (tags []string, ok bool) {
	for _, name := range tagFields {
		separators := ","
		if name == "Surrogate-Key" {
			separators = " \t"
		}
		for _, line := range h[name] {
			for line != "" {
				tag := line
				if i := strings.IndexAny(line, separators); i >= 0 {
					tag, line = line[:i], line[i+1:]
				} else {
					line = ""
				}
				if tag = strings.Trim(tag, " \t"); tag == "" {
					continue
				}
				if len(tags) == TagsMax || len(tag) > TagBytesMax {
					return nil, false
				}
				tags = append(tags, tag)
			}
		}
	}
	return tags, true
}

// Groups returns the members of Cache-Groups (RFC 9875 §2); ok is as with Tags.
func Groups(h http.Header) (groups []string, ok bool) {
	groups = Strings(h["Cache-Groups"])
	if len(groups) > TagsMax {
		return nil, false
	}
	for _, group := range groups {
		if len(group) > TagBytesMax {
			return nil, false
		}
	}
	return groups, true
}
