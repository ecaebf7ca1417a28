// Command eviction compares what a store in memory could drop when it is full, and the store that we have, on generated traces:
//
//	go run ./bench/eviction                    # the tables of docs/decisions/0014
//	go run ./bench/eviction -requests 4000000  # longer traces
//
// Each trace is a sequence of requests for objects of given sizes, the same on every run. Each policy answers it from caches of 0.1 %,
// 1 % and 10 % of the bytes of all its objects, from empty on. An object's size includes what the store charges for keeping it. Told are
// the share of requests that hit and the share of bytes that hit.
//
// The policies are models of a few lines each, on one queue for the whole cache; the last one is store.Memory itself, driven by its
// methods with responses that are charged their size without having it. It has to agree with the model that it implements, "S3 √size".
//
// What the traces aren't: recorded. They have the shapes that public studies of web and CDN traces report, one at a time: popularity by
// Zipf's law, scans, sizes over five orders of magnitude, popularity that moves, and objects that are asked for once.
package main
