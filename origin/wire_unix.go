//go:build unix

package origin

import "syscall"

// nothingToRead says whether a connection is open and has nothing to read, without waiting. What there was is lost.
func nothingToRead(fd uintptr) bool {
	var b [1]byte
	_, err := syscall.Read(int(fd), b[:])
	return err == syscall.EAGAIN
}
