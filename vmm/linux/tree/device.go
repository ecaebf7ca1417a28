package tree

import (
	"github.com/wherry/wherry/vmm/linux/abi"
	"github.com/wherry/wherry/vmm/linux/iovec"
)

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

func (t *Tree) readDevice(n *Node, v [][]byte) (int, abi.Errno) {
	done, most := 0, iovec.Total(v)
	for _, p := range v {
		p = p[:min(len(p), most-done)]
		switch n.Special {
		case deviceNull:
			return 0, 0
		case deviceZero, deviceFull:
			clear(p)
		default:
			t.fill(p)
		}
		done += len(p)
	}
	return done, 0
}

func (t *Tree) fill(p []byte) {
	if t.random == nil {
		clear(p)
		return
	}
	t.random(p)
}

func (t *Tree) writeDevice(n *Node, v [][]byte) (int, abi.Errno) {
	if n.Special == deviceFull {
		return 0, abi.ENOSPC
	}
	return iovec.Total(v), 0
}
