//go:build !linux

package edge

import (
	"io"
	"net"
)

// direct returns how the lane reads from and writes to c: there is a way of its own only on Linux.
func direct(c net.Conn) io.ReadWriter { return c }
