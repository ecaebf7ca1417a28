package feed

import (
	"fmt"
	"unicode/utf8"
)

// What a report may hold at most.
const (
	reportListMax = 4096
	reportTextMax = 4096
)

// Check says what is wrong with a report that another node sent.
func (r *Report) Check() error {
	wrong := func(what string) error { return fmt.Errorf("a report of %.64q: %s", r.Node, what) }
	if r.Node == "" || len(r.Node) > 63 {
		return wrong("no name of a node")
	}
	texts := append([]string{r.Boot, r.Version, r.Config, string(r.Parent)}, r.Alerts...)
	for _, refusal := range r.Refused {
		texts = append(texts, refusal.Key, refusal.Why)
	}
	for key := range r.Holds {
		texts = append(texts, key)
	}
	for name, at := range r.Doors {
		texts = append(texts, name, at)
	}
	for _, text := range texts {
		if len(text) > reportTextMax || !utf8.ValidString(text) {
			return wrong("a text is too long, or not UTF-8")
		}
	}
	if max(len(texts), len(r.Sites), len(r.Roles)) > reportListMax {
		return wrong("too much of it")
	}
	for i := range r.Sites {
		if len(r.Sites[i].Latency) > 64 || len(r.Sites[i].Site) > 63 {
			return wrong("a tally with too many buckets")
		}
	}
	return nil
}
