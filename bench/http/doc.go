// Command http measures what a request costs at a Wherry edge and at other HTTP caches on the same machine, in one run:
//
//	go run ./bench/http                  # or bench/http/run.sh, which builds bin/wherry first
//	go run ./bench/http -only '^hit 1 KiB' -time 10s -rounds 5
//	go run ./bench/http -peers nginx -save
//
// It runs an origin of its own, starts bin/wherry and each of nginx, haproxy, varnish and trafficserver that is installed, and loads
// them in turn over loopback, HTTP/1.1 with wrk and HTTP/2 with h2load: for each cell of the table a few seconds each, several
// rounds, so that what else happens on the machine meets all of them. A figure is the median of the rounds. Every server keeps an
// access log in a file, buffered where it can be, counts as it does by default, and uses as many threads as it wants. One that
// doesn't know a cell's protocol is left out of it: varnish has no TLS.
//
// Load and servers share the machine's cores, so requests a second say as much about the load's maker as about a server that is
// quick. The figure to compare is CPU time a request: user and system time of all processes of the server. Latencies are those of a
// closed loop that is saturated: they are queueing, not what a user feels.
//
// The idle cell opens 20,000 connections, asks for one hit on each and weighs all processes of the server while they are silent,
// pages that they share counted once; what the kernel keeps for the sockets isn't in it. That they were held shows a second request
// on each. Our own process holds the other ends, so where RLIMIT_NOFILE can't be raised there are fewer, and a note says so. haproxy
// and nginx reserve their caches when they start, trafficserver a tenth of its files.
//
// Caches and logs are in a folder under TMPDIR. A miss that is stored as a file costs what the file system makes it cost, which on a
// busy disk is many times what the server does: TMPDIR=/dev/shm takes the disk out of the comparison.
//
// The origin counts what it is asked. A hit that reaches it, a miss that doesn't, a body that is too short, or an answer other than
// 200, makes a cell invalid and the exit status 1.
//
// The last column is what wherry is to reach: its CPU time a request as a multiple of nginx's, or the MB of the idle cell. With
// -save all samples are kept as JSON in bench/http/results.
package main
