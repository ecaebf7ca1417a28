package h2

import (
	"time"
)

const (
	// batchBytes is how much is written at once, under one deadline: a client has to take as much within Limits.Stall.
	batchBytes = 64 << 10
	batchSlack = 2 * (frameHeaderBytes + frameSizeMax)
	// keepBytes is how large a buffer may be that is used again.
	keepBytes = 4 * batchBytes
)

// room returns out, to be appended to.
func (c *conn) room() []byte {
	if c.out == nil {
		c.out = *c.server.outs.Get().(*[]byte)
	}
	return c.out
}

// openHeaders makes room for the header of a HEADERS frame, for closeHeaders.
func (c *conn) openHeaders() (begin int) {
	begin = len(c.room())
	var header [frameHeaderBytes]byte
	c.out = append(c.out, header[:]...)
	if c.shrinkTable {
		c.shrinkTable = false
		c.out = append(c.out, 0x20) // RFC 7541 §6.3: to 0, which is all that we use
	}
	return begin
}

// answer sends a hit.
func (c *conn) answer(id uint32, h Hit) {
	size := h.Size()
	begin, flags := c.openHeaders(), byte(0)
	if size == 0 {
		flags = flagEndStream
	}
	c.out = closeHeaders(h.AppendHeader(c.out), begin, id, flags)
	if size == 0 {
		c.done = append(c.done, finished{h, 0})
		return
	}
	if size > dataBytes || size > c.window || size > c.initialWindow {
		s := c.newStream(id)
		s.hit, s.left, s.remoteEnd = h, size, true
		c.enqueue(s)
		return
	}
	begin = len(c.out)
	out, err := h.AppendContent(appendFrameHeader(c.out, int(size), frameData, flagEndStream, id), int(size))
	if err != nil {
		c.out = c.out[:begin]
		c.reset(id, codeInternal, err)
		h.Done(0, c.server.now(), err)
		return
	}
	c.out = out
	c.window -= size
	c.dataSent++
	c.done = append(c.done, finished{h, size})
}

// enqueue puts a stream in line if it has something to send that its window has room for.
func (c *conn) enqueue(s *stream) {
	if s.err == nil && s.window > 0 && (s.left > 0 || len(s.queued) > 0) {
		if !s.inLine {
			c.line.push(s)
		}
	}
}

// line is the streams that have something to send, in the order of their turns.
type line struct{ first, last *stream }

func (l *line) push(s *stream) {
	s.inLine, s.next = true, nil
	if l.last == nil {
		l.first = s
	} else {
		l.last.next = s
	}
	l.last = s
}

func (l *line) pop() *stream {
	s := l.first
	if l.first = s.next; l.first == nil {
		l.last = nil
	}
	s.inLine, s.next = false, nil
	return s
}

func (l *line) remove(s *stream) {
	if !s.inLine {
		return
	}
	var before *stream
	for t := l.first; t != s; t = t.next {
		before = t
	}
	if before == nil {
		l.pop()
		return
	}
	before.next = s.next
	if l.last == s {
		l.last = before
	}
	s.inLine, s.next = false, nil
}

// sendable says whether there is something to write.
func (c *conn) sendable() bool {
	return c.broken == nil && (len(c.out) > 0 || c.line.first != nil && c.window > 0)
}

// flush sees that what there is to send is written: by who writes already, or by the caller, up to one batch, and a goroutine.
func (c *conn) flush() {
	if c.writing || c.ended || !c.sendable() {
		return
	}
	c.writing = true
	c.writeBatch()
	if c.sendable() {
		c.handlers.Go(c.pump)
		return
	}
	c.stopWriting()
}

// pump writes until there is nothing more to write for the moment.
func (c *conn) pump() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.sendable() {
		c.writeBatch()
	}
	c.stopWriting()
}

func (c *conn) stopWriting() {
	c.writing = false
	c.wrote.Broadcast()
	for _, b := range [...]*[]byte{&c.out, &c.spare} {
		if len(*b) > 0 {
			continue
		}
		if kept := *b; cap(kept) > 0 && cap(kept) <= keepBytes {
			kept = kept[:0]
			c.server.outs.Put(&kept)
		}
		*b = nil
	}
}

// writeBatch writes out and one batch of DATA. It lets mu go meanwhile.
func (c *conn) writeBatch() {
	now := c.server.now()
	c.assemble(now)
	out, done := c.out, c.done
	c.out, c.done = c.spare, c.spareFor
	c.spare, c.spareFor = nil, nil
	c.mu.Unlock()
	err := c.write(out, now)
	if len(done) > 0 {
		at := c.server.now()
		for i := range done {
			if d := &done[i]; err != nil {
				d.hit.Done(0, at, err)
			} else {
				d.hit.Done(d.sent, at, nil)
			}
		}
		clear(done)
	}
	c.mu.Lock()
	c.spare, c.spareFor = out[:0], done[:0]
	c.wrote.Broadcast()
	if err != nil {
		c.brokenBy(err)
	}
}

// brokenBy takes note that nothing can be written any more.
func (c *conn) brokenBy(err error) {
	c.broken, c.failed = err, true
	for _, s := range c.streams {
		c.drop(s, err)
	}
	for _, d := range c.done {
		d.hit.Done(0, c.server.now(), err)
	}
	c.done, c.out = nil, nil
	c.wake()
}

func (c *conn) write(p []byte, now time.Time) error {
	if stall := c.server.limits.Stall; stall > 0 && now.Sub(c.renewed) >= stall/8 {
		c.renewed = now
		_ = c.nc.SetWriteDeadline(time.Now().Add(stall + stall/8))
	}
	_, err := c.nc.Write(p)
	return err
}

// assemble adds DATA frames of the streams in line to out, one of each in turn, until that is a batch.
func (c *conn) assemble(now time.Time) {
	for c.line.first != nil && c.window > 0 && len(c.room()) < batchBytes {
		s := c.line.pop()
		s.progress, c.progress = now, now
		if s.hit != nil {
			c.sendHit(s)
		} else {
			c.sendQueued(s)
		}
		c.dataSent++
		c.enqueue(s)
	}
}

// sendHit adds a DATA frame of a hit.
func (c *conn) sendHit(s *stream) {
	n := min(dataBytes, s.window, c.window, s.left)
	flags := byte(0)
	if n == s.left {
		flags = flagEndStream
	}
	begin := len(c.out)
	out, err := s.hit.AppendContent(appendFrameHeader(c.out, int(n), frameData, flags, s.id), int(n))
	if err != nil {
		c.out = c.out[:begin]
		c.reset(s.id, codeInternal, err)
		return
	}
	c.out = out
	c.spend(s, n)
	if s.left -= n; s.left == 0 {
		c.done = append(c.done, finished{s.hit, s.sent})
		s.hit = nil
		c.finish(s)
	}
}

func (c *conn) spend(s *stream, n int64) {
	s.window -= n
	c.window -= n
	s.sent += n
}

// sendQueued adds a DATA frame of what a handler has written.
func (c *conn) sendQueued(s *stream) {
	n := min(dataBytes, s.window, c.window, int64(len(s.queued)))
	end := s.ending && n == int64(len(s.queued))
	flags := byte(0)
	if end && s.last == nil {
		flags = flagEndStream
	}
	c.out = append(appendFrameHeader(c.out, int(n), frameData, flags, s.id), s.queued[:n]...)
	c.spend(s, n)
	s.queued = s.queued[n:]
	switch {
	case end:
		c.sendEnd(s)
	case len(s.queued) == 0:
		s.queued = nil
		s.cond.Broadcast()
	}
}

// sendEnd ends a stream whose content is out, but for its trailers.
func (c *conn) sendEnd(s *stream) {
	if s.last != nil {
		begin := c.openHeaders()
		c.out = closeHeaders(append(c.out, s.last...), begin, s.id, flagEndStream)
	}
	c.finish(s)
}
