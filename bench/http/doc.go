// Command http measures what a request costs at a Wherry edge and at other HTTP caches on the same machine, in one run:
//
//	go run ./bench/http                  # or bench/http/run.sh, which builds bin/wherry first
//	go run ./bench/http -only 'hit 1 KiB' -time 10s -rounds 5
//
// It runs an origin of its own, starts bin/wherry and each of nginx, haproxy and varnish that is installed, and loads them in turn
// with wrk over loopback: for each cell of the table a few seconds each, several rounds, so that what else happens on the machine
// meets all of them. A figure is the median of the rounds. Every server keeps an access log in a file, buffered where it can be, and
// uses as many threads as it wants.
//
// Load and servers share the machine's cores, so requests a second say as much about wrk as about a server that is quick. The
// figure to compare is CPU time a request: user and system time of all processes of the server. Latencies are those of a closed
// loop that is saturated: they are queueing, not what a user feels.
//
// The origin counts what it is asked. A hit that reaches it, a miss that doesn't, or an answer other than 200, makes a cell invalid
// and the exit status 1.
package main
