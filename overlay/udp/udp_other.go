//go:build !linux

package udp

import "net"

func newSystem(*net.UDPConn) system { return nil }

func tooLarge(err error) error { return err }
