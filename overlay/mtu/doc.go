// Package mtu finds out how large a packet a path carries, by trying (RFC 8899). It is pure: time comes as a value, and who calls it sends the packets.
package mtu
