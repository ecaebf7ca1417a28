// Package explain says which site, rule, settings and origins a configuration has for one request, and why: what `wherry config
// explain` prints. It decides nothing itself: it asks the config.Snapshot what nodes ask it, and adds the reasons. It does no I/O
// and starts no goroutine.
package explain
