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
	// eagerBatches is how many batches are written before it is left to a goroutine to go on.
	eagerBatches = 4
)

// room returns out, to be appended to.
func (c *conn) room() []byte {
	if c.next.out == nil {
		c.next.from = c.server.outs.Get().(*[]byte)
		c.next.out = *c.next.from
	}
	return c.next.out
}

// openHeaders makes room for the header of a HEADERS frame, for closeHeaders.
func (c *conn) openHeaders() (begin int) {
	begin = len(c.room())
	var header [frameHeaderBytes]byte
	c.next.out = append(c.next.out, header[:]...)
	if c.shrinkTable {
		c.shrinkTable = false
		c.next.out = append(c.next.out, 0x20) // RFC 7541 §6.3: to 0, which is all that we use
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
	c.next.out = closeHeaders(h.AppendHeader(c.next.out), begin, id, flags)
	if size == 0 {
		c.next.done = append(c.next.done, finished{h, 0})
		return
	}
	if size > dataBytes || size > c.window || size > c.initialWindow || len(c.next.out) > batchBytes {
		s := c.newStream(id)
		s.hit, s.left, s.remoteEnd = h, size, true
		c.enqueue(s)
		return
	}
	begin = len(c.next.out)
	out, err := h.AppendContent(appendFrameHeader(c.next.out, int(size), frameData, flagEndStream, id), int(size))
	if err != nil {
		c.next.out = c.next.out[:begin]
		c.reset(id, codeInternal, err)
		h.Done(0, c.server.now(), err)
		return
	}
	c.next.out = out
	c.window -= size
	c.dataSent++
	c.next.done = append(c.next.done, finished{h, size})
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
	return c.broken == nil && (len(c.next.out) > 0 || c.line.first != nil && c.window > 0)
}

// flush sees that what there is to send is written, without waiting: a client may wait for us to read before it reads itself. What the
// system doesn't take at once, and what is more than a few batches, is left to a goroutine. It lets mu go meanwhile.
func (c *conn) flush() {
	if c.writing || c.ended || !c.sendable() {
		return
	}
	c.writing = true
	for range eagerBatches {
		if c.eager == nil || c.rest.out != nil || !c.sendable() {
			break
		}
		c.writeBatch(false)
	}
	if c.rest.out != nil || c.sendable() {
		c.handlers.Go(c.pump)
		return
	}
	c.stopWriting()
}

// pump writes until there is nothing more to write for the moment.
func (c *conn) pump() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rest.out != nil {
		c.writeRest()
	}
	for c.sendable() {
		c.writeBatch(true)
	}
	c.stopWriting()
}

func (c *conn) stopWriting() {
	c.writing = false
	c.wrote.Broadcast()
	for _, b := range [...]*batch{&c.next, &c.spare} {
		if len(b.out) > 0 || b.from == nil {
			continue
		}
		if cap(b.out) <= keepBytes {
			*b.from = b.out
			c.server.outs.Put(b.from)
		}
		b.out, b.from = nil, nil
	}
}

// batch is what is written at once.
type batch struct {
	out  []byte
	from *[]byte    // the pool's, which out goes back to
	done []finished // whose last byte is in out
}

// writeBatch writes what is to be sent, up to a batch of DATA. It lets mu go meanwhile. If it may not wait it may leave c.rest.
func (c *conn) writeBatch(wait bool) {
	now := c.server.now()
	c.assemble(now)
	b := c.next
	c.next, c.spare = c.spare, batch{}
	for _, id := range c.stops {
		if c.streams[id] != nil {
			c.reset(id, codeNone, errReturned) // §8.1. Some clients (curl 7.88) lose a response that comes in one piece with this
		}
	}
	c.stops = c.stops[:0]
	c.putOff(now)
	c.mu.Unlock()
	var rest bool
	var err error
	if wait {
		_, err = c.nc.Write(b.out)
	} else {
		rest, err = c.eager.WriteSome(b.out)
	}
	if rest && err == nil {
		c.mu.Lock()
		c.rest = b
		return
	}
	c.written(b, err)
}

// writeRest writes what a batch that wasn't to wait has left.
func (c *conn) writeRest() {
	b := c.rest
	c.putOff(c.server.now())
	c.mu.Unlock()
	err := c.eager.Flush()
	c.mu.Lock()
	c.rest = batch{}
	c.mu.Unlock()
	c.written(b, err)
}

// written takes note that a batch is written, or that nothing can be written any more. It is called without mu, and returns with it.
func (c *conn) written(b batch, err error) {
	if len(b.done) > 0 {
		at := c.server.now()
		for i := range b.done {
			if d := &b.done[i]; err != nil {
				d.hit.Done(0, at, err)
			} else {
				d.hit.Done(d.sent, at, nil)
			}
		}
		clear(b.done)
	}
	c.mu.Lock()
	c.spare = batch{b.out[:0], b.from, b.done[:0]}
	c.wrote.Broadcast()
	if err != nil {
		c.brokenBy(err)
	}
}

// putOff puts the write deadline off, unless it was put off a moment ago.
func (c *conn) putOff(now time.Time) {
	if stall := c.server.limits.Stall; stall > 0 && now.Sub(c.renewed) >= stall/8 {
		c.renewed = now
		_ = c.nc.SetWriteDeadline(time.Now().Add(stall + stall/8))
	}
}

// brokenBy takes note that nothing can be written any more.
func (c *conn) brokenBy(err error) {
	c.broken, c.failed = err, true
	for _, s := range c.streams {
		c.drop(s, err)
	}
	for _, d := range c.next.done {
		d.hit.Done(0, c.server.now(), err)
	}
	c.next = batch{}
	c.wake()
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
	begin := len(c.next.out)
	out, err := s.hit.AppendContent(appendFrameHeader(c.next.out, int(n), frameData, flags, s.id), int(n))
	if err != nil {
		c.next.out = c.next.out[:begin]
		c.reset(s.id, codeInternal, err)
		return
	}
	c.next.out = out
	c.spend(s, n)
	if s.left -= n; s.left == 0 {
		c.next.done = append(c.next.done, finished{s.hit, s.sent})
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
	c.next.out = append(appendFrameHeader(c.next.out, int(n), frameData, flags, s.id), s.queued[:n]...)
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
		c.next.out = closeHeaders(append(c.next.out, s.last...), begin, s.id, flagEndStream)
	}
	c.finish(s)
}
