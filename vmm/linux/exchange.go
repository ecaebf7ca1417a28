package linux

import "github.com/wherry/wherry/vmm/linux/abi"

// callExchange is wherry_exchange(out, size, in, room, log, size): write(2, log), write(1, out), all of both, and then read(0, in, room), by one exit. The
// buffers are the program's own memory, of any address and length, and hold nothing that the host would have to believe. What was written is taken off the
// registers, so that a call that is made again after a signal doesn't write it twice. Without room it doesn't read.
func callExchange(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	r := t.registers()
	for _, w := range []struct {
		d        int
		at, size *uint64 // of the arguments
		of       [2]*uint64
		kept     []uint64 // the arguments of a call that waits
	}{
		{2, &a[4], &a[5], [2]*uint64{&r.R8, &r.R9}, t.Wait.Args[4:6]},
		{1, &a[0], &a[1], [2]*uint64{&r.RDI, &r.RSI}, t.Wait.Args[0:2]},
	} {
		for *w.size > 0 {
			n, e := p.transfer(t, w.d, *w.at, *w.size, abi.PROT_READ, func(b []byte, _ uint64) (int, abi.Errno) { return p.Files.Write(w.d, b) })
			switch {
			case e != 0:
				return n, e
			case n == 0:
				return 0, abi.EIO // what the descriptor is now takes nothing: never try for ever
			}
			*w.at, *w.size = *w.at+n, *w.size-n
			w.kept[0], w.kept[1] = *w.at, *w.size
			*w.of[0], *w.of[1] = *w.at, *w.size
		}
	}
	if a[3] == 0 {
		return 0, 0
	}
	return p.transfer(t, 0, a[2], a[3], abi.PROT_WRITE, func(b []byte, _ uint64) (int, abi.Errno) { return p.Files.Read(0, b) })
}
