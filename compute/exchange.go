package compute

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/vmm/linux"
	"github.com/wherry/wherry/vmm/linux/abi"
)

// heldMax is how many bytes of a body wait in each direction outside of the program.
const heldMax = 64 << 10

var _ way = (*exchange)(nil)

// exchange is a request to a program that listens, and its response, both of which go on while others read and write them.
type exchange struct {
	*job
	limits Limits

	hasBody bool  // of the request
	bodyMax int64 // bytes that it may have

	answer answer // the worker's, as what follows

	line     line
	told     bool  // the response was given to who asked
	received int64 // bytes of the response

	mu      sync.Mutex // guards what follows
	changed *sync.Cond
	in      []byte // to the program
	inEnd   error  // nothing comes behind in: io.EOF, or why
	out     []byte // to who asked
	outEnd  error  // nothing comes behind out: io.EOF, or why
	gone    bool   // nobody wants out
}

// newExchange begins one; its body is read once a worker has it.
func newExchange(j *job, l Limits) (*exchange, error) {
	x := &exchange{job: j, limits: l, answer: answer{request: j.request}}
	x.changed = sync.NewCond(&x.mu)
	var b bytes.Buffer
	r := j.request
	if err := writeHead(&b, r); err != nil {
		return nil, err
	}
	protocol := upgrade(r.Header)
	if protocol != "" && isValue(protocol) {
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
	x.in = b.Bytes()
	x.bodyMax = l.Input - int64(b.Len())
	if x.hasBody = hasBody; !hasBody && protocol == "" { // after a switch there is more
		x.inEnd = io.EOF
	}
	return x, nil
}

// uploadPiece is how much of a body is read at once.
const uploadPiece = 16 << 10

// upload reads the request's body, in a goroutine that ends with it, or with its next read once the exchange is over.
func (x *exchange) upload() {
	r := x.request
	defer closeBody(r)
	chunked := r.ContentLength <= 0
	b := make([]byte, uploadPiece)
	for sent := int64(0); ; {
		n, err := r.Body.Read(b)
		if sent += int64(n); sent > x.bodyMax {
			x.endIn(tooLarge(x.limits.Input))
			return
		}
		if n > 0 && !x.send(b[:n], chunked) {
			return
		}
		if err == nil {
			continue
		}
		switch {
		case err != io.EOF:
			err = &fault.Error{Party: fault.Client, Op: "read request", Status: http.StatusBadRequest, Err: err}
		case chunked:
			_ = x.put([]byte("0\r\n\r\n")) // who doesn't want it knows
		case sent != r.ContentLength:
			err = fault.New(fault.Client, "read request", http.StatusBadRequest, io.ErrUnexpectedEOF)
		}
		x.endIn(err)
		return
	}
}

func (x *exchange) send(b []byte, chunked bool) bool {
	if !chunked {
		return x.put(b) == nil
	}
	framed := fmt.Appendf(nil, "%x\r\n", len(b))
	framed = append(append(framed, b...), "\r\n"...)
	return x.put(framed) == nil
}

// put waits for room for b, and gives it to the program.
func (x *exchange) put(b []byte) error {
	x.mu.Lock()
	for len(x.in) >= heldMax && x.inEnd == nil && x.outEnd == nil && !x.gone {
		x.changed.Wait()
	}
	if x.inEnd != nil || x.outEnd != nil || x.gone {
		x.mu.Unlock()
		return errOver
	}
	x.in = append(x.in, b...)
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
		if err := t.put(part); err != nil {
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
		x.give()
		x.end(io.EOF)
		return
	}
	x.end(r.err)
	if !x.told {
		x.told = true
		x.done <- r
	}
}

// give gives the response, once.
func (x *exchange) give() {
	if x.told || x.answer.response == nil {
		return
	}
	x.told = true
	x.answer.response.Body = body{x}
	if x.answer.framing == switching {
		x.answer.response.Body = tunnel{body{x}}
	}
	x.done <- result{response: x.answer.response}
}

// ask is RoundTrip for a program that listens.
func (h *Host) ask(j *job, l Limits) (*http.Response, error) {
	x, err := newExchange(j, l)
	if err != nil {
		closeBody(j.request)
		return nil, err
	}
	j.way = x
	if x.hasBody {
		go x.upload()
	} else {
		closeBody(j.request)
	}
	response, err := h.await(j)
	if err != nil {
		x.end(err) // which ends the upload
	}
	return response, err
}

// open implements way: it connects to the program.
func (x *exchange) open(i *instance) error {
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
	var f *fault.Error
	switch {
	case x.answer.whole:
		o.keep = !x.ended
	case errors.As(failed, &f):
		o.limit, o.err, o.keep = "client", failed, !x.ended
		if f.Party == fault.Origin {
			o.limit, o.keep = "output", false
		}
	case failed != nil && !x.ended:
		o.limit, o.err = "response", broken(failed)
	case x.ended && x.last.Kind != linux.LimitPassed && room:
		o.limit, o.err = "crash", broken(fmt.Errorf("it %s before it had answered", x.last))
	case gone && !x.ended && x.answer.framing == switching:
		o.keep = true
	case gone && !x.ended:
		o.limit, o.err, o.keep = "client", stopped(context.Background(), "run program"), true
	case !time.Now().Before(x.deadline) && x.answer.framing == switching:
		o.limit, o.err, o.keep = "idle", passed("idle"), true
	default:
		o, over = x.job.judge(ctx)
		o.keep = o.limit == "client" // the next one has a connection of its own
		return o, over
	}
	return o, true
}

// move implements way.
func (x *exchange) move(i *instance) (moved bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	defer x.changed.Broadcast()
	defer x.give()
	if len(x.in) > 0 && !x.ended {
		n, e := x.line.write(x.in)
		switch {
		case e == 0:
			moved = true
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
	scratch := i.room()
	for len(x.out) < heldMax && !x.answer.whole {
		n, e := x.line.conn.Read(scratch[:min(movedMax, heldMax-len(x.out))])
		if e == abi.EAGAIN && !x.ended {
			break
		}
		if e != 0 || n == 0 {
			if again, err := x.again(i); again || err != nil {
				return again, err
			}
			return moved, x.answer.end()
		}
		moved = true
		if err := x.take(scratch[:n]); err != nil {
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

// again has the request go over another connection, if the one that it went over was open before and the program has read nothing of it. Who calls it holds x.mu.
func (x *exchange) again(i *instance) (again bool, err error) {
	if x.ended || x.received > 0 || !x.line.unread() {
		return false, nil
	}
	x.in = append(x.line.sent, x.in...)
	x.line.close(false)
	err = x.line.dial(i)
	return err == nil, err
}

// take has bytes that came from the program.
func (x *exchange) take(b []byte) error {
	content, err := x.answer.feed(b)
	x.out = append(x.out, content...)
	if x.received += int64(len(b)); x.received > x.limits.Output && x.answer.framing != switching {
		return passed("output")
	}
	return err
}
