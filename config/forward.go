package config

import "github.com/wherry/wherry/config/spell"

func forwardForm() Form {
	return Form{
		Name: "where to connect to", Text: "`ADDRESS:PORT`, `PREFIX:PORT` or `NAME:PORT`", Example: "10.0.0.0/8:5432",
		JSON: []string{"string"}, Pattern: `^.+:[0-9]{1,5}$`,
		parse: func(s string) (any, *mistake) {
			t, wrong := spell.ParseTarget(s)
			if wrong != "" {
				return nil, &mistake{quoted(s) + " " + wrong, "write one such as 10.0.0.0/8:5432, [2001:db8::]/32:5432 or db.internal:5432"}
			}
			if t.Name != "" {
				if m := wrongHost(t.Name, false); m != nil {
					return nil, m
				}
			}
			return s, nil
		},
	}
}

// Forwards says whether the node may connect to a host, by its name or address, at a port.
func (o *Overlay) Forwards(host, port string) bool {
	for _, target := range o.Forward {
		if t, wrong := spell.ParseTarget(string(target)); wrong == "" && t.Has(host, port) {
			return true
		}
	}
	return false
}
