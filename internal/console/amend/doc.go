// Package amend changes a program, or a rule that names one, in the YAML of settings and sites, and leaves the rest as its author wrote it: keys, their order and comments
// stay; blank lines and indentation don't. It checks nothing that room config checks.
package amend
