package wherry

import (
	"syscall"
	"unsafe"
)

// exchangeCall is the number of wherry_exchange(out, size, in, room, log, size). Linux will never have it on x86-64: 403 to 423 are of 32-bit processors.
const exchangeCall = 423

// exchange writes log and out and reads into in, all by one exit of the machine. It is a raw call: the runtime isn't told that it may take long, as then one
// of its threads would go on with other goroutines while the machine stands still.
func exchange(out, in, log []byte) (int, error) {
	for {
		n, _, e := syscall.RawSyscall6(exchangeCall,
			uintptr(unsafe.Pointer(unsafe.SliceData(out))), uintptr(len(out)),
			uintptr(unsafe.Pointer(unsafe.SliceData(in))), uintptr(len(in)),
			uintptr(unsafe.Pointer(unsafe.SliceData(log))), uintptr(len(log)))
		switch e {
		case 0:
			return int(n), nil
		case syscall.EINTR: // while it waited: all was written
			out, log = nil, nil
		default:
			return 0, e
		}
	}
}

// askCall is the number of wherry_ask(out, size, in, room, 0, 0).
const askCall = 422

// askEdge sends a request and reads its whole response into in. A signal doesn't disturb it: Go's handlers have SA_RESTART, and the call goes on where it was.
func askEdge(out, in []byte) (int, error) {
	n, _, e := syscall.RawSyscall6(askCall,
		uintptr(unsafe.Pointer(unsafe.SliceData(out))), uintptr(len(out)),
		uintptr(unsafe.Pointer(unsafe.SliceData(in))), uintptr(len(in)), 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}
