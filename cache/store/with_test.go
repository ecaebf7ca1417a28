package store

import "github.com/wherry/wherry/cache/field"

// with is no directives but what set sets.
func with(set func(d *field.Directives)) field.Directives {
	d := field.NoDirectives()
	set(&d)
	return d
}
