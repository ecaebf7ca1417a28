package file

import "github.com/wherry/wherry/vmm/linux/abi"

// The devices of /dev.
const (
	deviceNull = iota
	deviceZero
	deviceFull
	deviceRandom
	deviceURandom
)

var devices = [...]struct {
	name   string
	number uint64 // Documentation/admin-guide/devices.txt
}{
	deviceNull:    {"null", abi.Device(1, 3)},
	deviceZero:    {"zero", abi.Device(1, 5)},
	deviceFull:    {"full", abi.Device(1, 7)},
	deviceRandom:  {"random", abi.Device(1, 8)},
	deviceURandom: {"urandom", abi.Device(1, 9)},
}

func (t *Table) readDevice(n *node, v [][]byte) (int, abi.Errno) {
	done, most := 0, total(v)
	for _, p := range v {
		p = p[:min(len(p), most-done)]
		switch n.special {
		case deviceNull:
			return 0, 0
		case deviceZero, deviceFull:
			clear(p)
		default:
			t.random(p)
		}
		done += len(p)
	}
	return done, 0
}

func (t *Table) random(p []byte) {
	if t.o.Random == nil {
		clear(p)
		return
	}
	t.o.Random(p)
}

func (t *Table) writeDevice(n *node, v [][]byte) (int, abi.Errno) {
	if n.special == deviceFull {
		return 0, abi.ENOSPC
	}
	return total(v), 0
}
