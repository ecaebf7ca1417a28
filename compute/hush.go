package compute

import (
	"cmp"
	"slices"
	"strings"
)

// hushMin is how long a secret is at least that is looked for in what a program writes: shorter ones would take words apart that have nothing to do with them.
const hushMin = 8

// hush is what a program wrote, with the names of secrets in the place of their values. A value of which a part alone is there stays.
func (p *Program) hush(text string) string {
	type secret struct{ name, value string }
	var all []secret
	for _, e := range p.Env {
		name, value, _ := strings.Cut(e, "=")
		if slices.Contains(p.Secrets, name) && len(value) >= hushMin && len(value) <= len(text) {
			all = append(all, secret{name, value})
		}
	}
	slices.SortFunc(all, func(a, b secret) int { return cmp.Or(len(b.value)-len(a.value), strings.Compare(a.name, b.name)) }) // one may be a part of another
	for _, s := range all {
		text = strings.ReplaceAll(text, s.value, "["+s.name+"]")
	}
	return text
}
