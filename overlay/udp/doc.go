// Package udp reads and writes datagrams in batches.
//
// On Linux one call reads many datagrams (recvmmsg), of which the kernel has joined those of one sender (UDP_GRO), and one call writes up to
// 64 KiB that the kernel cuts up (UDP_SEGMENT). Where a kernel or a device refuses that, and on every other system and net.PacketConn, it is a
// datagram a call; Socket looks for that once and again when a write fails. A datagram is never fragmented: what is too large for the path is lost
// or answered with ErrTooLarge.
//
// A Socket has no goroutine. Read is for one goroutine at a time; Write is for any number.
package udp
