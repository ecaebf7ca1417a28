// Package policy is what a configuration makes of a request: its host, site, rule, cache key, and what the cache may do; and what a purge
// means in the cache's keys.
//
// It is a chamber of room edge, and pure: a snapshot and a request in, a policy out.
package policy
