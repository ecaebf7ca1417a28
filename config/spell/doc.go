// Package spell knows how some single values are written, without knowing what they are for: labels of names, and targets of connections.
package spell
