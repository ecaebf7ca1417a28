package main

import (
	"net"
	"strconv"
)

// nth returns address as the n-th edge (from 1) of one machine has it: on loopback 127.0.0.n, at the same port.
func nth(address string, n int) string {
	host, port, _ := net.SplitHostPort(address) // which was checked
	if n > 1 {
		host = "127.0.0." + strconv.Itoa(n)
	}
	return net.JoinHostPort(host, port)
}
