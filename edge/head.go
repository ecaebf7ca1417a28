package edge

import (
	"github.com/wherry/wherry/edge/hop"
	"github.com/wherry/wherry/edge/plain"
)

// head is a plain header section as the cache may see it before the steps have altered it.
type head struct {
	plain.Head
	altered bool // Lines was asked for a field that the steps alter before they ask the cache
}

func (h *head) forget() {
	h.Head.Forget()
	h.altered = false
}

// Lines implements field.Fields.
func (h *head) Lines(name string) []string {
	if altered(name) || h.Crumbs && name == "Cookie" {
		h.altered = true
		return nil
	}
	return h.Head.Lines(name)
}

// altered says whether the steps, or net/http, take a field off the request or put it on before they ask the cache.
func altered(name string) bool {
	switch name {
	case "Host", "Connection", "Te", "Upgrade", "Cdn-Loop", "Via", RequestIDField:
		return true
	}
	return hop.Forged(name) || hop.OverridesMethod(name)
}
