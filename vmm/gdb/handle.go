package gdb

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/wherry/wherry/vmm"
	"github.com/wherry/wherry/vmm/debug"
	"github.com/wherry/wherry/vmm/linux/abi"
)

// handler answers the rest of a packet behind its prefix. An error is the machine's.
type handler struct {
	prefix string
	do     func(*conn, string) ([]byte, error)
}

// handlers are tried in order: the first whose prefix a packet has.
var handlers []handler

func init() {
	reply := func(f func(*conn, string) []byte) func(*conn, string) ([]byte, error) {
		return func(c *conn, s string) ([]byte, error) { return f(c, s), nil }
	}
	say := func(text string) func(*conn, string) ([]byte, error) {
		return func(*conn, string) ([]byte, error) { return []byte(text), nil }
	}
	handlers = []handler{
		{"qSupported", reply((*conn).supported)},
		{"QStartNoAckMode", say("OK")},
		{"QNonStop:0", say("OK")},
		{"QPassSignals:", reply((*conn).passSignals)},
		{"qAttached", say("0")},
		{"qC", reply((*conn).currentThread)},
		{"qfThreadInfo", reply((*conn).threadList)},
		{"qsThreadInfo", say("l")},
		{"qThreadExtraInfo,", reply((*conn).threadExtra)},
		{"qXfer:", reply((*conn).transfer)},
		{"qSymbol:", say("OK")},
		{"qRcmd,", reply((*conn).monitor)},
		{"vCont?", say("vCont;c;C;s;S;r")},
		{"vCont;", (*conn).vCont},
		{"vKill", reply((*conn).kill)},
		{"vFile:", reply((*conn).file)},
		{"vMustReplyEmpty", say("")},
		{"?", reply((*conn).why)},
		{"g", reply((*conn).readAll)},
		{"G", reply((*conn).writeAll)},
		{"p", reply((*conn).readRegister)},
		{"P", reply((*conn).writeRegister)},
		{"m", reply((*conn).readMemory)},
		{"M", reply((*conn).writeMemory)},
		{"X", reply((*conn).writeBinary)},
		{"Z", reply((*conn).insert)},
		{"z", reply((*conn).remove)},
		{"H", reply((*conn).choose)},
		{"T", reply((*conn).alive)},
		{"D", reply((*conn).detach)},
		{"k", reply((*conn).kill)},
		{"bs", (*conn).back},
		{"bc", (*conn).back},
		{"c", (*conn).plain},
		{"C", (*conn).plain},
		{"s", (*conn).plain},
		{"S", (*conn).plain},
	}
}

// handle answers a packet: empty where it isn't known.
func (c *conn) handle(p []byte) ([]byte, error) {
	s := string(p)
	for _, h := range handlers {
		if rest, ok := strings.CutPrefix(s, h.prefix); ok {
			if c.dead && h.prefix != "vKill" && h.prefix != "k" && h.prefix != "D" {
				return bad, nil
			}
			if h.prefix == "bs" || h.prefix == "bc" {
				rest = s
			}
			if len(h.prefix) == 1 && strings.Contains("cCsS", h.prefix) {
				rest = s
			}
			return h.do(c, rest)
		}
	}
	return nil, nil
}

// The answers that say no: EINVAL, EFAULT, ESRCH.
var (
	ok       = []byte("OK")
	bad      = []byte("E16")
	noMemory = []byte("E0e")
	noThread = []byte("E03")
)

func (c *conn) supported(string) []byte {
	return fmt.Appendf(nil, "PacketSize=%x;QStartNoAckMode+;vContSupported+;swbreak+;hwbreak+;QPassSignals+;ReverseStep+;ReverseContinue+;"+
		"qXfer:features:read+;qXfer:auxv:read+;qXfer:exec-file:read+;qXfer:threads:read+", packetMax)
}

func (c *conn) passSignals(list string) []byte {
	passed := map[abi.Signal]bool{}
	for _, text := range strings.Split(list, ";") {
		if n, err := strconv.ParseUint(text, 16, 16); err == nil {
			if s := ofGDB(int(n)); s != 0 {
				passed[s] = true
			}
		}
	}
	c.target.SetPassed(passed)
	return ok
}

func (c *conn) kill(string) []byte {
	c.killed = true
	return ok
}

func (c *conn) detach(string) []byte {
	c.detached = true
	return ok
}

// vCont is what each thread shall do. All run: the first that is to step steps.
func (c *conn) vCont(actions string) ([]byte, error) {
	o := debug.Order{}
	for _, text := range strings.Split(actions, ";") {
		action, thread, has := strings.Cut(text, ":")
		id := int32(0)
		if has {
			n, valid := parseThread(thread)
			if !valid {
				return bad, nil
			}
			id = n
		}
		if action == "" || id < 0 && action[0] != 'c' {
			id = c.anyThread()
		}
		next, valid := parseAction(action)
		if !valid {
			return bad, nil
		}
		if next.Step && !o.Step || next.Signal != 0 && o.Signal == 0 && !o.Step {
			next.Thread = id
			if id <= 0 {
				next.Thread = c.stopped.Thread
			}
			o = next
		}
	}
	return c.resume(o)
}

// parseAction reads c, Csig, s, Ssig, rfrom,to.
func parseAction(a string) (o debug.Order, valid bool) {
	if a == "" {
		return o, false
	}
	o.Step = a[0] == 's' || a[0] == 'S' || a[0] == 'r'
	switch a[0] {
	case 'c', 's':
		return o, len(a) == 1
	case 'C', 'S':
		n, err := strconv.ParseUint(a[1:], 16, 8)
		o.Signal = ofGDB(int(n))
		return o, err == nil
	case 'r':
		from, to, has := strings.Cut(a[1:], ",")
		var err, err2 error
		o.From, err = strconv.ParseUint(from, 16, 64)
		o.To, err2 = strconv.ParseUint(to, 16, 64)
		return o, has && err == nil && err2 == nil
	}
	return o, false
}

// plain is c, C, s and S, which gdb uses where it doesn't know vCont.
func (c *conn) plain(packet string) ([]byte, error) {
	action, _, _ := strings.Cut(packet, ";") // an address to go on from isn't sent by any gdb
	o, valid := parseAction(action)
	if !valid {
		return bad, nil
	}
	o.Thread = c.anyThread()
	return c.resume(o)
}

func (c *conn) back(packet string) ([]byte, error) {
	if err := c.target.NoWayBack(); err != nil { // what gdb says by itself doesn't say what to do
		c.print(err.Error() + "\n")
	}
	return c.resume(debug.Order{Back: true, Step: packet == "bs", Thread: c.anyThread()})
}

// stopReply says why the program stopped.
func (c *conn) stopReply() []byte {
	s := &c.stopped
	thread := fmt.Sprintf("thread:%x;", s.Thread)
	trap := fmt.Sprintf("T%02x", toGDB(abi.SIGTRAP))
	switch s.Reason {
	case debug.Breakpoint:
		kind := "swbreak:;"
		if r, err := c.target.Registers(s.Thread); err == nil && c.breaks[point{'1', r.RIP}] && !c.breaks[point{'0', r.RIP}] {
			kind = "hwbreak:;"
		}
		return []byte(trap + kind + thread)
	case debug.Watchpoint:
		return []byte(trap + c.watchKind(s.Addr) + thread)
	case debug.Beginning:
		return []byte(trap + "replaylog:begin;" + thread)
	case debug.Signal:
		return fmt.Appendf(nil, "T%02x%s", toGDB(s.Signal), thread)
	case debug.Interrupted:
		return fmt.Appendf(nil, "T%02x%s", toGDB(abi.SIGINT), thread)
	case debug.Stuck:
		c.print("The program " + s.End.String() + ".\n")
		return fmt.Appendf(nil, "T%02x%s", toGDB(abi.SIGINT), thread)
	case debug.Ended:
		return c.ended()
	}
	return []byte(trap + thread)
}

// print shows text in gdb's console.
func (c *conn) print(text string) {
	if c.socket != nil {
		c.send(appendPacket(nil, []byte("O"+hex.EncodeToString([]byte(text)))))
	}
}

func (c *conn) watchKind(at uint64) string {
	for _, w := range c.watches {
		if w.Addr == at {
			return fmt.Sprintf("%s:%x;", map[byte]string{'2': "watch", '3': "rwatch", '4': "awatch"}[w.kind], at)
		}
	}
	return ""
}

func (c *conn) why(string) []byte { return c.stopReply() }

// insert is Z: type, address, kind.
func (c *conn) insert(s string) []byte {
	kind, va, size, valid := parsePoint(s)
	switch {
	case !valid:
		return bad
	case kind < '2':
		if len(c.breaks) >= pointsMax {
			return bad
		}
		c.breaks[point{kind, va}] = true
	case kind != '2' && c.target.NoWayBack() != nil: // it is compared, not caught
		return []byte("E.reads of memory stop a program that is debugged with --machine emulator")
	default:
		if len(c.watches) >= pointsMax || size == 0 || size > watchMax || va+size < va {
			return bad
		}
		w := watch{kind, vmm.Watch{Addr: va, Size: size, Read: kind != '2', Write: kind != '3'}}
		c.watches = append(c.watches, w)
	}
	return ok
}

func (c *conn) remove(s string) []byte {
	kind, va, size, valid := parsePoint(s)
	if !valid {
		return bad
	}
	if kind < '2' {
		delete(c.breaks, point{kind, va})
		return ok
	}
	for i, w := range c.watches {
		if w.kind == kind && w.Addr == va && w.Size == size {
			c.watches = append(c.watches[:i], c.watches[i+1:]...)
			break
		}
	}
	return ok
}

const (
	pointsMax = 4096    // breakpoints, and watchpoints
	watchMax  = 1 << 20 // bytes
)

func parsePoint(s string) (kind byte, va, size uint64, valid bool) {
	s, _, _ = strings.Cut(s, ";") // conditions are gdb's to evaluate
	f := strings.Split(s, ",")
	if len(f) != 3 || len(f[0]) != 1 || f[0][0] < '0' || f[0][0] > '4' {
		return 0, 0, 0, false
	}
	va, err := strconv.ParseUint(f[1], 16, 64)
	size, err2 := strconv.ParseUint(f[2], 16, 64)
	return f[0][0], va, size, err == nil && err2 == nil
}

// monitor is gdb's `monitor` command: when says how far the program is.
func (c *conn) monitor(command string) []byte {
	text, err := hex.DecodeString(command)
	if err != nil {
		return bad
	}
	answer := "commands: when (the number of instructions that were executed)\n"
	switch err := c.target.NoWayBack(); {
	case !bytes.Equal(bytes.TrimSpace(text), []byte("when")):
	case err != nil:
		answer = err.Error() + "\n"
	default:
		answer = fmt.Sprintf("%d instructions were executed\n", c.target.At())
	}
	return []byte(hex.EncodeToString([]byte(answer)))
}
