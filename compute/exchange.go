package compute

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/linux/abi"
)

const (
	// heldMax is how many bytes of a body wait in each direction outside of the program.
	heldMax = 64 << 10
	// smallMax is how long a body may be to be read before the program is asked, if its length is known: most calls have one turn then.
	smallMax = 16 << 10
	// uploadPiece is how much of a longer one is read at once.
	uploadPiece = 16 << 10
)

var _ way = (*exchange)(nil)

// exchange is a request to a program, and its response, both of which go on while others read and write them.
type exchange struct {
	*job
	limits Limits

	uploads bool  // there is more of the request's body than what was read at the beginning
	bodyMax int64 // bytes that it may have

	answer answer // the worker's, as what follows

	line     line
	listens  bool  // the program, which line is a connection to
	told     bool  // the response was given to who asked
	finished bool  // all of it was read, and that nothing stands behind it
	broken   error // what was wrong before any of it was given, on standard output: it is said at the end, unless a limit is passed
	received int64 // bytes of the response

	mu      sync.Mutex // guards what follows
	changed *sync.Cond
	in      []byte // to the program
	inEnd   error  // nothing comes behind in: io.EOF, or why
	out     []byte // to who asked
	outEnd  error  // nothing comes behind out: io.EOF, or why
	gone    bool   // nobody wants out
}

// newExchange begins one with a program that listens or doesn't.
func newExchange(j *job, l Limits, listens bool) (*exchange, error) {
	x := &exchange{job: j, limits: l, answer: answer{request: j.request}}
	x.changed = sync.NewCond(&x.mu)
	var b bytes.Buffer
	r := j.request
	if err := writeHead(&b, r); err != nil {
		return nil, err
	}
	protocol := ""
	if protocol = upgrade(r.Header); !listens || !isValue(protocol) {
		protocol = ""
	}
	if protocol != "" {
		b.WriteString("Connection: Upgrade\r\nUpgrade: " + protocol + "\r\n")
	}
	hasBody := r.Body != nil && r.Body != http.NoBody
	switch {
	case int64(b.Len()) > l.Input || hasBody && r.ContentLength > l.Input-int64(b.Len()):
		return nil, tooLarge(l.Input)
	case hasBody && r.ContentLength > 0:
		b.WriteString("Content-Length: " + strconv.FormatInt(r.ContentLength, 10) + "\r\n")
	case hasBody:
		b.WriteString("Transfer-Encoding: chunked\r\n")
	case tellsLength(r.Method):
		b.WriteString("Content-Length: 0\r\n")
	}
	b.WriteString("\r\n")
	x.bodyMax = l.Input - int64(b.Len())
	x.uploads = hasBody
	if hasBody && 0 < r.ContentLength && r.ContentLength <= smallMax {
		x.uploads = false
		if _, err := io.CopyN(&b, r.Body, r.ContentLength); err != nil {
			return nil, errContent(err)
		}
	}
	x.in = b.Bytes()
	if !x.uploads && protocol == "" { // after a switch there is more
		x.inEnd = io.EOF
	}
	return x, nil
}

// errContent is the fault of a client whose request's body can't be read, or is shorter than its length.
func errContent(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return &fault.Error{Party: fault.Client, Op: "read request", Status: http.StatusBadRequest, Err: err}
}

// upload reads the request's body, in a goroutine that ends with it, or with its next read once the exchange is over.
func (x *exchange) upload() {
	r := x.request
	defer closeBody(r)
	chunked := r.ContentLength <= 0
	b := make([]byte, uploadPiece)
	for sent := int64(0); ; {
		n, err := r.Body.Read(b)
		sent += int64(n)
		switch {
		case sent > x.bodyMax:
			x.endIn(tooLarge(x.limits.Input))
			return
		case !chunked && sent > r.ContentLength:
			x.endIn(errContent(errors.New("the body is longer than its length")))
			return
		}
		var end error
		if !chunked && sent == r.ContentLength { // the program is to see its end with its last bytes
			end = io.EOF
		}
		if n > 0 && x.put(framedPiece(b[:n], chunked), end) != nil || end != nil {
			return // who doesn't want it knows
		}
		switch {
		case err == io.EOF && chunked:
			_ = x.put([]byte("0\r\n\r\n"), io.EOF)
			return
		case err != nil:
			x.endIn(errContent(err))
			return
		}
	}
}

// framedPiece is a part of a body as it stands in the request (RFC 9112 §7.1).
func framedPiece(b []byte, chunked bool) []byte {
	if !chunked {
		return b
	}
	framed := fmt.Appendf(nil, "%x\r\n", len(b))
	return append(append(framed, b...), "\r\n"...)
}

// put waits for room for b, and gives it to the program. An end stands behind it.
func (x *exchange) put(b []byte, end error) error {
	x.mu.Lock()
	for len(x.in) >= heldMax && x.inEnd == nil && x.outEnd == nil && !x.gone {
		x.changed.Wait()
	}
	if x.inEnd != nil || x.outEnd != nil || x.gone {
		x.mu.Unlock()
		return errOver
	}
	x.in, x.inEnd = append(x.in, b...), end
	x.mu.Unlock()
	x.wake()
	return nil
}

var errOver = errors.New("the exchange with the program is over")

func (x *exchange) endIn(err error) {
	x.mu.Lock()
	if x.inEnd == nil {
		x.inEnd = err
	}
	x.mu.Unlock()
	x.wake()
}

// end tells who reads and writes that it is over: io.EOF, or why.
func (x *exchange) end(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.outEnd == nil {
		x.outEnd = err
	}
	x.changed.Broadcast()
}

// body is an exchange for who asked. It is an io.ReadWriteCloser after a switch of protocols.
type body struct{ *exchange }

func (b body) Read(p []byte) (int, error) {
	x := b.exchange
	x.mu.Lock()
	for len(x.out) == 0 && x.outEnd == nil && !x.gone && len(p) > 0 {
		x.changed.Wait()
	}
	switch {
	case x.gone:
		x.mu.Unlock()
		return 0, http.ErrBodyReadAfterClose
	case len(x.out) == 0 && len(p) > 0:
		defer x.mu.Unlock()
		return 0, x.outEnd
	}
	n := copy(p, x.out)
	x.out = x.out[:copy(x.out, x.out[n:])]
	over := x.outEnd != nil
	x.mu.Unlock()
	if !over {
		x.wake()
	}
	return n, nil
}

func (b body) Close() error {
	b.mu.Lock()
	b.gone = true
	over := b.outEnd != nil
	b.changed.Broadcast()
	b.mu.Unlock()
	if !over {
		b.wake()
	}
	return nil
}

// tunnel is a body that can be written to, too.
type tunnel struct{ body }

// Write returns when the program, or what waits for it, has p.
func (t tunnel) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		part := p[:min(len(p), heldMax)]
		if err := t.put(part, nil); err != nil {
			return n, err
		}
		n, p = n+len(part), p[len(part):]
	}
	return n, nil
}

var _ io.ReadWriteCloser = tunnel{}

// tell implements way.
func (x *exchange) tell(r result) {
	if r.err == nil {
		x.pause()
		x.end(io.EOF)
		return
	}
	x.end(r.err)
	if !x.told {
		x.told = true
		x.done <- r
	}
}

// pause implements way.
func (x *exchange) pause() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.give()
}

// give gives the response, once: as one piece of a known length where it is all there already. Who calls it holds x.mu.
func (x *exchange) give() {
	r := x.answer.response
	if x.told || r == nil || x.broken != nil {
		return
	}
	x.told = true
	r.Body = body{x}
	switch f := x.answer.framing; {
	case f == switching:
		r.Body = tunnel{body{x}}
	case x.finished:
		r.Body = io.NopCloser(bytes.NewReader(x.out))
		if f == byChunks || f == byEnd {
			r.ContentLength = int64(len(x.out))
			r.Header.Set("Content-Length", strconv.Itoa(len(x.out)))
		}
	}
	x.done <- result{response: r}
}

// open implements way.
func (x *exchange) open(i *instance) error {
	x.listens = i.version.port() != 0
	x.answer.switches = x.listens
	if x.listens {
		x.line = new(connection)
	} else {
		x.line = new(pipes)
	}
	return x.line.open(i)
}

// close implements way.
func (x *exchange) close() {
	x.mu.Lock()
	sent := len(x.in) == 0 && x.inEnd == io.EOF
	x.mu.Unlock()
	a := &x.answer
	x.line.close(sent && a.whole && !a.closes && !a.more && a.framing != byEnd && a.framing != switching)
}

// judge implements way.
func (x *exchange) judge(ctx context.Context, failed error) (o outcome, over bool) {
	x.mu.Lock()
	gone, room := x.gone, x.gone || len(x.out) < heldMax
	x.mu.Unlock()
	// What is left of a call doesn't disturb the next one, which has a connection of its own, or memory that was taken back.
	spared := !x.ended && (x.listens || !x.instance.remembers())
	var f *fault.Error
	client := errors.As(failed, &f) && f.Party == fault.Client
	switch {
	case x.finished:
		o.keep = !x.ended
	case x.answer.whole && (client || gone || x.ctx.Err() != nil): // they have all, and don't wait for what the program does yet
		o.keep = spared
	case f != nil:
		o.limit, o.err, o.keep = limitOf(f), failed, client && spared
	case failed != nil && (!x.ended || x.exited() && x.received > 0):
		o.limit, o.err = "response", broken(failed)
	case x.stuck() && room:
		o.limit, o.err = "crash", broken(fmt.Errorf("it %s before it had answered", x.last))
	case gone && !x.ended && x.answer.framing == switching:
		o.keep = true
	case gone && !x.ended:
		o.limit, o.err, o.keep = "client", stopped(context.Background(), "run program"), spared
	case !time.Now().Before(x.deadline) && x.answer.framing == switching:
		o.limit, o.err, o.keep = "idle", passed("idle"), true
	default:
		o, over = x.job.judge(ctx)
		o.keep = o.limit == "client" && spared
		return o, over
	}
	return o, true
}

// limitOf is the limit that a fault counts as.
func limitOf(f *fault.Error) string {
	var l *LimitError
	switch {
	case errors.As(f, &l):
		return l.Limit
	case f.Party == fault.Client:
		return "client"
	}
	return "output"
}

// stuck reports whether the program can't go on, or, where nobody can connect to it, waits for what never comes.
func (x *exchange) stuck() bool {
	if x.ended {
		return x.last.Kind != linux.LimitPassed
	}
	return !x.listens && x.last.Kind == linux.Idle && x.last.Wake == math.MaxInt64 && x.gate.silent()
}

// move implements way.
func (x *exchange) move(i *instance) (moved bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	defer x.changed.Broadcast()
	defer func() {
		if x.listens && !x.finished { // what it says goes on at once. What is whole is told, when the instance is known to be ready soon: the next request waits for it
			x.give()
		}
	}()
	if len(x.in) > 0 && !x.ended {
		n, e := x.line.write(x.in)
		switch {
		case e == 0:
			moved, x.last = true, linux.Stop{}
			x.in = x.in[:copy(x.in, x.in[n:])]
		case e != abi.EAGAIN: // it doesn't read any more, and may answer all the same
			if moved, err = x.again(i); !moved {
				x.in, x.inEnd = nil, errOver
			}
		}
	}
	if moved && x.answer.framing == switching { // each time the client says something it is as a call
		i.machine.Process().Renew()
	}
	x.line.expect(len(x.in) > 0 || x.inEnd != nil)
	if read, err := x.receive(i); read || err != nil {
		moved = true
		if err != nil {
			return moved, err
		}
	}
	if moved && x.answer.framing == switching {
		x.deadline = time.Now().Add(x.limits.Idle)
	}
	if x.inEnd != nil && x.inEnd != io.EOF && x.inEnd != errOver {
		return moved, x.inEnd
	}
	return moved, nil
}

// receive takes what the program has written, as far as there is room, and reports whether there was something. Who calls it holds x.mu.
func (x *exchange) receive(i *instance) (read bool, err error) {
	for len(x.out) < heldMax && !x.finished {
		b, e := x.line.read(min(movedMax, heldMax-len(x.out)))
		if e == abi.EAGAIN && !x.over() {
			break
		}
		if e != 0 || len(b) == 0 {
			if again, err := x.again(i); again || err != nil {
				return again, err
			}
			err := x.broken
			if err == nil {
				err = x.answer.end()
			}
			x.finished = err == nil
			return read, err
		}
		read = true
		switch err := x.take(b); {
		case err != nil && (x.listens || x.told):
			return read, err
		case err != nil:
			x.broken, x.out = err, nil
		}
	}
	return read, nil
}

// over reports whether nothing can come behind what was read. A program on standard input says so by its next read that finds nothing, behind the request or, when
// it has answered, before its end; or when it exits.
func (x *exchange) over() bool {
	switch {
	case x.listens:
		return x.ended
	case x.ended:
		return x.exited()
	case x.last.Kind != linux.WantsInput || len(x.in) > 0:
		return false
	}
	return x.inEnd == io.EOF || x.inEnd == errOver || x.answer.whole && !x.instance.remembers() // another end is whose fault it is, and move says so
}

// exited reports whether the program has, and nothing was wrong.
func (x *exchange) exited() bool { return x.last.Kind == linux.Exited && x.last.Status == 0 }

// again has the request go over another line, if the one that it went over was open before and the program has read nothing of it. Who calls it holds x.mu.
func (x *exchange) again(i *instance) (again bool, err error) {
	if x.ended || x.received > 0 {
		return false, nil
	}
	sent, again, err := x.line.again(i)
	if again {
		x.in = append(sent, x.in...)
	}
	return again, err
}

// take has bytes that came from the program.
func (x *exchange) take(b []byte) error {
	if x.broken != nil {
		return nil // they are read, and count
	}
	content, err := x.answer.feed(b)
	x.out = append(x.out, content...)
	x.received += int64(len(b))
	switch {
	case err != nil:
		return err
	case x.received > x.limits.Output && x.answer.framing != switching:
		return passed("output")
	case x.listens:
		x.finished = x.answer.whole
	case x.answer.more:
		return errMore
	}
	return nil
}
