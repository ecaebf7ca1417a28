// Command compute measures programs on one edge: how long the first request to one takes that nobody asked for a while, what a hostile tenant does to others, what
// thousands of deployments leave behind, and how many requests a second go through an edge beside nginx.
//
//	go run ./bench/compute [-only cold,tenants,churn,serve] [-machine auto] [-quick] [-json]
//
//	cold     requests to programs that were scaled to zero: time until the answer, p50 and p99
//	tenants  200 programs of 50 tenants, asked by a skewed distribution: p99 of the others, quiet and beside a hostile tenant
//	churn    10,000 deployments and removals under load: requests that failed, memory, descriptors and goroutines before and after
//	serve    wrk through `wherry edge` to programs, and through nginx to the same handler as a process (needs both)
//
// It builds examples/programs and testdata with go and gcc. All load is on loopback, bounded by time and count.
package main
