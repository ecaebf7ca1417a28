package exchange

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"
)

const continueTimeout = time.Second

// copyBytes is what is copied of a request's content at once.
const copyBytes = 32 << 10

var copyBufs = sync.Pool{New: func() any { b := make([]byte, copyBytes); return &b }}

// send sends what comes behind the header section, in a goroutine of its own if there is anything.
func (c *call) send(trace *httptrace.ClientTrace) {
	wrote := func(err error) {
		if trace != nil && trace.WroteRequest != nil {
			trace.WroteRequest(httptrace.WroteRequestInfo{Err: err})
		}
	}
	switch {
	case c.plan.kind == kindEmpty:
		closeContent(c.r)
		err := c.stream.CloseWrite() // it comes again when the response is read
		c.uploaded(err)
		wrote(err)
		return
	case c.plan.opens(): // what comes behind is for who gets the connection
		closeContent(c.r)
		wrote(nil)
		return
	}
	if c.plan.expects {
		c.proceed, c.final = make(chan struct{}), make(chan struct{})
		if trace != nil && trace.Wait100Continue != nil {
			trace.Wait100Continue()
		}
	}
	go func() {
		err := c.upload()
		wrote(err)
		c.closing.Do(func() { closeContent(c.r) })
		c.uploaded(err)
	}()
}

// opens says whether the request asks for a connection.
func (p *plan) opens() bool { return p.protocol != "" || p.method == http.MethodConnect }

// contentError is a failure of the request's own content.
type contentError struct{ cause error }

func (e *contentError) Error() string { return e.cause.Error() }

// Unwrap returns the cause.
func (e *contentError) Unwrap() error { return e.cause }

var errUnwanted = errors.New("the content isn't wanted any more")

// letProceed sends content that waits for 100 Continue. Only who reads the response calls it.
func (c *call) letProceed() {
	if c.proceed != nil && !c.proceeded {
		c.proceeded = true
		close(c.proceed)
	}
}

// waitContinue waits for 100 Continue (RFC 9110 §10.1.1). With the final response nobody wants the content any more.
func (c *call) waitContinue() error {
	wait := c.transport.ContinueTimeout
	if wait <= 0 {
		wait = continueTimeout
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-c.proceed:
	case <-timer.C:
	case <-c.final:
		select {
		case <-c.proceed:
		default:
			return errUnwanted
		}
	case <-c.r.Context().Done():
		return context.Cause(c.r.Context())
	}
	return nil
}

// upload sends the content. When the peer stops reading, that is no failure: its response counts (RFC 9114 §4.1).
func (c *call) upload() error {
	if c.proceed != nil {
		if err := c.waitContinue(); err != nil {
			return err
		}
	}
	buf := copyBufs.Get().(*[]byte)
	defer copyBufs.Put(buf)
	const headroom = 9 // of a frame
	sent := int64(0)
	for {
		if !c.take() {
			return errUnwanted
		}
		n, err := c.r.Body.Read((*buf)[headroom:])
		if sent += int64(n); c.plan.length >= 0 && sent > c.plan.length {
			return c.spoilt(errors.New("the request's content is longer than its ContentLength"))
		}
		if n > 0 {
			if _, err := c.stream.Write(c.piece(*buf, headroom, n)); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			if c.plan.length >= 0 && sent < c.plan.length {
				return c.spoilt(io.ErrUnexpectedEOF)
			}
			return c.endUpload()
		case err != nil:
			return c.spoilt(err)
		}
	}
}

// spoilt gives up because of the request's own content. The note has to be there before the reset is seen.
func (c *call) spoilt(err error) error {
	err = &contentError{err}
	c.mu.Lock()
	c.broken = err
	c.mu.Unlock()
	c.abort(CodeCancelled)
	return err
}

// take says whether content may be read, and notes that it was.
func (c *call) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken = c.taken || !c.over
	return !c.over
}

// piece returns the n bytes behind the headroom as they are sent.
func (c *call) piece(buf []byte, headroom, n int) []byte {
	if c.plan.kind == kindRaw {
		return buf[headroom : headroom+n]
	}
	var head [9]byte
	h := appendInt(append(head[:0], byte(kindContent)), uint64(n))
	at := headroom - len(h)
	copy(buf[at:], h)
	return buf[at : headroom+n]
}

func (c *call) endUpload() error {
	if c.plan.kind == kindFramed {
		section := plainSection(func(e *encoder) {
			for name, values := range c.r.Trailer {
				e.addValues(name, values)
			}
		})
		if _, err := c.stream.Write(appendFrame(nil, kindTrailers, section)); err != nil {
			return err
		}
	}
	return c.stream.CloseWrite()
}
