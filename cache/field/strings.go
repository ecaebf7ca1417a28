package field

import "github.com/dunglas/httpsfv"

// Strings reads a field that is a List of Strings (RFC 9651 §3.1), as Cache-Groups is (RFC 9875 §2). Parameters are ignored; if
// anything else than a String stands in it, there is no list.
func Strings(lines []string) []string {
	if len(lines) == 0 {
		return nil
	}
	list, err := httpsfv.UnmarshalList(lines)
	if err != nil {
		return nil
	}
	var members []string
	for _, member := range list {
		item, ok := member.(httpsfv.Item)
		if !ok {
			return nil
		}
		s, ok := item.Value.(string)
		if !ok {
			return nil
		}
		members = append(members, s)
	}
	return members
}
