package linux

import "github.com/wherry/wherry/vmm/linux/abi"

// callAsk is wherry_ask(out, size, in, room, 0, 0): it connects to the gate, writes all of out, and reads into in until the other end closes: by one exit. The
// result is how much came; EMSGSIZE where that is more than room, ECONNRESET where it is nothing. While it waits, what is left of out stands in RDI and RSI, the descriptor + 1 in
// R8 and what has come in R9: a call that is made again after a signal, with what the registers say, goes on where it was. The descriptor is one as any other, so a hostile
// one is the program's own trouble, and a checkpoint knows it.
func callAsk(p *Process, t *Task, a *args) (uint64, abi.Errno) {
	if a[4] == 0 {
		if a[1] == 0 {
			return 0, abi.EINVAL
		}
		d, e := p.Files.Socket(abi.AF_INET, abi.SOCK_STREAM|abi.SOCK_CLOEXEC, 0)
		if e != 0 {
			return 0, e
		}
		a[4], a[5] = uint64(d)+1, 0
	}
	n, e := p.ask(t, a)
	if e != blocked {
		_ = p.Files.Close(fd(a[4] - 1))
		a[4], a[5] = 0, 0
	}
	t.Wait.Args = *a
	r := t.registers()
	r.RDI, r.RSI, r.R8, r.R9 = a[0], a[1], a[4], a[5]
	return n, e
}

// ask goes on with what a says.
func (p *Process) ask(t *Task, a *args) (uint64, abi.Errno) {
	d := fd(a[4] - 1)
	if e := p.Files.ConnectGate(d); e != 0 && e != abi.EISCONN {
		return p.waitFor(t, d, e)
	}
	for a[1] > 0 {
		n, e := p.transfer(t, d, a[0], a[1], abi.PROT_READ, func(b []byte, _ uint64) (int, abi.Errno) {
			n, e := p.Files.Send(d, [][]byte{b}, 0)
			if e == abi.EPIPE || e == abi.ECONNRESET { // who doesn't want the rest may have answered
				return len(b), 0
			}
			return n, e
		})
		if e != 0 {
			return n, e
		}
		a[0], a[1] = a[0]+n, a[1]-n
	}
	for a[5] < a[3] {
		n, e := p.transfer(t, d, a[2]+a[5], a[3]-a[5], abi.PROT_WRITE, func(b []byte, _ uint64) (int, abi.Errno) {
			return p.Files.Recv(d, [][]byte{b}, 0)
		})
		switch {
		case e != 0:
			return n, e
		case n == 0 && a[5] == 0:
			return 0, abi.ECONNRESET
		case n == 0:
			return a[5], 0
		}
		a[5] += n
	}
	switch n, e := p.Files.Recv(d, [][]byte{make([]byte, 1)}, 0); {
	case e != 0:
		return p.waitFor(t, d, e)
	case n > 0:
		return 0, abi.EMSGSIZE
	}
	return a[5], 0
}
