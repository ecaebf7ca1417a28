package gdb

import (
	"fmt"

	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/linux/abi"
)

// gdbSignals are gdb's numbers of signals by Linux's (include/gdb/signals.def), below the real-time ones.
var gdbSignals = [...]int{
	1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 10, 8: 8, 9: 9, 10: 30, 11: 11, 12: 31, 13: 13, 14: 14, 15: 15, 17: 20, 18: 19, 19: 17, 20: 18, 21: 21, 22: 22,
	23: 16, 24: 24, 25: 25, 26: 26, 27: 27, 28: 28, 29: 23, 30: 32, 31: 12, 32: 77,
}

// Real-time signals: 33 to 63 are together, 64 is elsewhere.
const (
	gdbRealTime = 45
	gdbLast     = 78
	gdbUnknown  = 143
)

func toGDB(s abi.Signal) int {
	switch {
	case int(s) < len(gdbSignals):
		return gdbSignals[s]
	case s >= 33 && s <= 63:
		return gdbRealTime + int(s) - 33
	case s == 64:
		return gdbLast
	}
	return gdbUnknown
}

// ofGDB is the other way; 0 is none.
func ofGDB(n int) abi.Signal {
	for s := abi.Signal(1); s <= abi.SIGRTMAX; s++ {
		if n > 0 && toGDB(s) == n {
			return s
		}
	}
	return 0
}

// ended tells gdb that the program has ended.
func (c *conn) ended() []byte {
	c.dead = true
	end := &c.stopped.End
	switch end.Kind {
	case linux.Exited:
		return fmt.Appendf(nil, "W%02x", end.Status&0xff)
	case linux.Killed:
		return fmt.Appendf(nil, "X%02x", toGDB(end.Signal))
	}
	c.print("The program " + end.String() + ".\n")
	return fmt.Appendf(nil, "X%02x", toGDB(abi.SIGKILL))
}
