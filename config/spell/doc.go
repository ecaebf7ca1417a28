// Package spell knows how some single values are written, without knowing what they are for: labels of names, targets of connections, and paths.
package spell
