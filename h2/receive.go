package h2

import (
	"encoding/binary"
	"errors"
	"net/http"

	"golang.org/x/net/http2/hpack"
)

// dispatch handles a frame that was received. It is called with mu held.
func (c *conn) dispatch(f *frame) *failure {
	if !c.settled && (f.kind != frameSettings || f.has(flagAck)) {
		return breaks(codeProtocol, "the first frame isn't SETTINGS") // §3.4
	}
	if c.section.stream != 0 && (f.kind != frameContinuation || f.stream != c.section.stream) {
		return breaks(codeProtocol, "a header block that another frame interrupts") // §6.2
	}
	switch f.kind {
	case frameData:
		return c.takeData(f)
	case frameHeaders:
		return c.takeHeaders(f)
	case framePriority:
		return c.takePriority(f)
	case frameReset:
		return c.takeReset(f)
	case frameSettings:
		return c.takeSettings(f)
	case framePush:
		return breaks(codeProtocol, "PUSH_PROMISE by a client") // §8.4
	case framePing:
		return c.takePing(f)
	case frameGoAway:
		if f.stream != 0 {
			return breaks(codeProtocol, "GOAWAY on a stream")
		}
		if len(f.payload) < 8 {
			return breaks(codeFrameSize, "GOAWAY of a wrong size")
		}
		return c.useless() // the client opens no more streams; what it has opened is answered
	case frameWindowUpdate:
		return c.takeWindowUpdate(f)
	case frameContinuation:
		return c.takeContinuation(f)
	}
	return c.useless() // §4.1: unknown frames are ignored
}

// useless takes note of a frame that leads to nothing.
func (c *conn) useless() *failure {
	if !c.guard.spend(costFrame) {
		return breaks(codeEnhanceCalm, "too many frames that lead to nothing")
	}
	return nil
}

// idle says whether the client has never opened the stream (§5.1).
func (c *conn) idle(stream uint32) bool { return stream > c.last || stream%2 == 0 }

func (c *conn) takeData(f *frame) *failure {
	size := int64(len(f.payload)) // §6.9.1: with the padding
	switch {
	case f.stream == 0:
		return breaks(codeProtocol, "DATA on no stream")
	case c.idle(f.stream) && c.closing != leaving:
		return breaks(codeProtocol, "DATA on an idle stream")
	case !f.unpad():
		return breaks(codeProtocol, "more padding than payload")
	}
	if c.heldBytes += size; c.heldBytes > connWindow {
		return breaks(codeFlowControl, "more content than the connection's window")
	}
	if len(f.payload) == 0 && !f.has(flagEndStream) && !c.guard.spend(costFrame) {
		return breaks(codeEnhanceCalm, "too many empty frames")
	}
	s := c.streams[f.stream]
	if s == nil || s.remoteEnd {
		c.giveBack(size)
		switch {
		case s != nil:
			return resets(f.stream, codeStreamClosed, "DATA after the end of a stream")
		case c.wasReset(f.stream) || c.idle(f.stream):
			return c.useless()
		}
		return breaks(codeStreamClosed, "DATA on a closed stream")
	}
	if s.heldBytes += size; s.heldBytes > streamWindow {
		return resets(f.stream, codeFlowControl, "more content than the stream's window")
	}
	return c.takeContent(s, f, size)
}

// takeContent hands the content of a DATA frame to the handler.
func (c *conn) takeContent(s *stream, f *frame, size int64) *failure {
	s.received += int64(len(f.payload))
	rest := min(s.rest, size)
	s.rest -= rest
	c.restBytes -= rest
	if s.length >= 0 && s.received > s.length {
		return malformed(s.id, "more content than Content-Length says") // §8.1.1
	}
	if s.handling && !s.closed {
		if s.read > 0 && len(s.body)+len(f.payload) > cap(s.body) {
			s.body, s.read = s.body[:copy(s.body, s.body[s.read:])], 0 // or it would grow with all that was ever read
		}
		s.body = append(s.body, f.payload...)
		if c.bodyBytes += int64(len(f.payload)); c.bodyBytes > connWindow { // takeRest has opened the window further
			return resets(s.id, codeEnhanceCalm, "more content than handlers read")
		}
		size -= int64(len(f.payload)) // the padding is read already
	}
	c.giveBack(size)
	if !f.has(flagEndStream) {
		s.giveBack(size)
		s.cond.Broadcast()
		return nil
	}
	return c.endContent(s)
}

// endContent takes note that a request is complete.
func (c *conn) endContent(s *stream) *failure {
	if s.length >= 0 && s.received != s.length {
		return malformed(s.id, "less content than Content-Length says") // §8.1.1
	}
	s.remoteEnd = true
	s.cond.Broadcast()
	if s.answered {
		c.drop(s, errReturned)
		// Some clients (curl 7.88) have all now and see it only when something more comes.
		c.next.out = appendPing(c.room(), 0, pingAlive[:])
	}
	return nil
}

func (c *conn) takeHeaders(f *frame) *failure {
	if f.stream%2 == 0 {
		return breaks(codeProtocol, "HEADERS on a stream that isn't the client's") // §5.1.1
	}
	if !f.unpad() {
		return breaks(codeProtocol, "more padding than payload")
	}
	self := false
	if f.has(flagPriority) {
		if len(f.payload) < 5 {
			return breaks(codeFrameSize, "HEADERS of a wrong size")
		}
		self = binary.BigEndian.Uint32(f.payload)&lastStreamMax == f.stream
		f.payload = f.payload[5:]
	}
	s := c.streams[f.stream]
	if s == nil && !c.idle(f.stream) && !c.wasReset(f.stream) {
		return breaks(codeStreamClosed, "HEADERS on a closed stream") // §5.1
	}
	c.section.begin(f.stream, c.server.limits.HeaderBytes)
	c.section.selfish, c.section.endStream = self, f.has(flagEndStream)
	switch {
	case s != nil:
		c.section.trailers = true
	case !c.idle(f.stream):
		c.section.ignored = true
	case c.closing == leaving: // §6.8: not below the last one that we named
		c.section.ignored = true
	default:
		c.last = f.stream
	}
	return c.takeBlock(f)
}

func (c *conn) takeContinuation(f *frame) *failure {
	if c.section.stream == 0 {
		return breaks(codeProtocol, "CONTINUATION of nothing") // §6.10
	}
	if len(f.payload) == 0 || !f.has(flagEndHeaders) {
		if err := c.useless(); err != nil {
			return err
		}
	}
	return c.takeBlock(f)
}

// takeBlock decodes a fragment of a header block.
func (c *conn) takeBlock(f *frame) *failure {
	x := &c.section
	// Even if the section is too large it has to be decoded to its end, within reason.
	if x.received += len(f.payload); x.received > 2*c.server.limits.HeaderBytes || x.Size > 4*c.server.limits.HeaderBytes {
		return &failure{0, codeEnhanceCalm, "a header section without end", RefusedHeader}
	}
	if _, err := c.decoder.Write(f.payload); errors.Is(err, hpack.ErrStringLength) {
		return &failure{0, codeEnhanceCalm, "a field that is too large", RefusedHeader}
	} else if err != nil {
		return breaks(codeCompression, err.Error()) // §4.3
	}
	if !f.has(flagEndHeaders) {
		if x.begun.IsZero() {
			x.begun = c.read
		}
		return nil
	}
	if err := c.decoder.Close(); err != nil {
		return breaks(codeCompression, err.Error())
	}
	stream := x.stream
	x.stream = 0
	switch {
	case x.ignored:
		return c.useless()
	case x.trailers:
		if s := c.streams[stream]; s != nil {
			return c.takeTrailers(s)
		}
		return c.useless() // reset while they came
	case x.selfish:
		return malformed(stream, "a stream that depends on itself")
	case !x.finish():
		return malformed(stream, "a malformed request") // §8.1.1
	}
	return c.takeRequest(stream)
}

func (c *conn) takeTrailers(s *stream) *failure {
	x := &c.section
	switch {
	case s.remoteEnd:
		return resets(s.id, codeStreamClosed, "HEADERS after the end of a stream") // §5.1
	case !x.endStream || !x.finish():
		return malformed(s.id, "malformed trailers") // §8.1
	case x.tooLarge:
		return &failure{s.id, codeEnhanceCalm, "trailers that are too large", RefusedHeader}
	}
	if s.trailer != nil {
		s.arrived = append([]Field(nil), x.Fields...)
	}
	return c.endContent(s)
}

// open counts the streams whose end the client can't have seen.
func (c *conn) open() int {
	return len(c.streams) + len(c.next.done) + len(c.rest.done)
}

// takeRequest answers a request, or has it answered.
func (c *conn) takeRequest(stream uint32) *failure {
	x := &c.section
	c.guard.earn(earnHead)
	switch {
	case c.open() >= c.server.limits.Streams || c.running >= 2*c.server.limits.Streams:
		c.reset(stream, codeRefused, errClosed) // §5.1.2
		if !c.guard.spend(costFrame) {
			return breaks(codeEnhanceCalm, "too many requests at once")
		}
		return nil
	case x.tooLarge && (x.headless || c.server.oversized == nil):
		c.refused(RefusedHeader)
		c.refuse(stream, x.endStream, http.StatusRequestHeaderFieldsTooLarge)
		return nil
	case x.tooLarge:
		return c.start(stream, c.server.oversized)
	}
	if c.peer.Hit != nil && x.endStream {
		x.At = c.read
		if h := c.peer.Hit(&x.Request); h != nil {
			c.answer(stream, h)
			return nil
		}
	}
	return c.start(stream, c.server.handler)
}

// refuse answers a request that nobody gets to see.
func (c *conn) refuse(stream uint32, ended bool, status int) {
	s := c.newStream(stream)
	s.length, s.remoteEnd = c.section.length, ended
	c.takeRest(s)
	begin := c.openHeaders()
	c.next.out = AppendField(AppendStatus(c.next.out, status), "content-length", "0")
	c.next.out = closeHeaders(c.next.out, begin, stream, flagEndStream)
	c.finish(s)
}

func (c *conn) takePriority(f *frame) *failure {
	switch {
	case f.stream == 0:
		return breaks(codeProtocol, "PRIORITY of no stream")
	case len(f.payload) != 5:
		return resets(f.stream, codeFrameSize, "PRIORITY of a wrong size") // §6.3
	case binary.BigEndian.Uint32(f.payload)&lastStreamMax == f.stream:
		return resets(f.stream, codeProtocol, "a stream that depends on itself")
	}
	return c.useless()
}

func (c *conn) takeReset(f *frame) *failure {
	switch {
	case f.stream == 0 || c.idle(f.stream) && c.closing != leaving:
		return breaks(codeProtocol, "RST_STREAM of an idle stream") // §6.4
	case len(f.payload) != 4:
		return breaks(codeFrameSize, "RST_STREAM of a wrong size")
	}
	s := c.streams[f.stream]
	if s == nil {
		return c.useless()
	}
	c.drop(s, errReset)
	if !c.guard.spend(costReset) {
		return breaks(codeEnhanceCalm, "too many requests that are taken back")
	}
	return nil
}

func (c *conn) takeSettings(f *frame) *failure {
	switch {
	case f.stream != 0:
		return breaks(codeProtocol, "SETTINGS on a stream")
	case f.has(flagAck):
		if len(f.payload) != 0 {
			return breaks(codeFrameSize, "an acknowledgement of a wrong size")
		}
		return c.useless()
	case len(f.payload)%settingBytes != 0:
		return breaks(codeFrameSize, "SETTINGS of a wrong size")
	}
	for p := f.payload; len(p) > 0; p = p[settingBytes:] {
		if err := c.set(setting{binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])}); err != nil {
			return err
		}
		if err := c.useless(); err != nil {
			return err
		}
	}
	c.next.out = appendFrameHeader(c.room(), 0, frameSettings, flagAck, 0) // §6.5.3
	if !c.settled {
		c.settled, c.idleSince = true, c.read
		c.tell(http.StateActive)
		c.tell(http.StateIdle)
	}
	return c.useless()
}

// set takes note of a setting (§6.5.2) that matters to what we send.
func (c *conn) set(s setting) *failure {
	switch s.id {
	case settingTableSize:
		c.shrinkTable = c.shrinkTable || s.value < defaultTableSize
	case settingPush:
		if s.value > 1 {
			return breaks(codeProtocol, "a setting of ENABLE_PUSH that isn't one")
		}
	case settingFrameSize:
		if s.value < frameSizeMax || s.value > frameSizeCeiling {
			return breaks(codeProtocol, "a setting of MAX_FRAME_SIZE that isn't one")
		}
	case settingWindow:
		if s.value > windowMax {
			return breaks(codeFlowControl, "a setting of INITIAL_WINDOW_SIZE that isn't one")
		}
		more := int64(s.value) - c.initialWindow
		c.initialWindow = int64(s.value)
		for _, t := range c.streams { // §6.9.2
			if t.window += more; t.window > windowMax {
				return breaks(codeFlowControl, "a window that is too large")
			}
			c.enqueue(t)
		}
	}
	return nil
}

func (c *conn) takePing(f *frame) *failure {
	switch {
	case f.stream != 0:
		return breaks(codeProtocol, "PING on a stream")
	case len(f.payload) != 8:
		return breaks(codeFrameSize, "PING of a wrong size")
	case !f.has(flagAck):
		c.next.out = appendPing(c.room(), flagAck, f.payload)
	case c.closing == announced && [8]byte(f.payload) == pingDrain:
		c.leave()
		c.over = c.departed()
	}
	return c.useless()
}

func (c *conn) takeWindowUpdate(f *frame) *failure {
	switch {
	case len(f.payload) != 4:
		return breaks(codeFrameSize, "WINDOW_UPDATE of a wrong size")
	case f.stream != 0 && c.idle(f.stream) && c.closing != leaving:
		return breaks(codeProtocol, "WINDOW_UPDATE of an idle stream")
	}
	more := int64(binary.BigEndian.Uint32(f.payload) & windowMax)
	if more == 0 {
		return resets(f.stream, codeProtocol, "WINDOW_UPDATE by nothing") // §6.9
	}
	if err := c.useless(); err != nil {
		return err
	}
	if f.stream == 0 {
		if c.window += more; c.window > windowMax {
			return breaks(codeFlowControl, "a window that is too large") // §6.9.1
		}
		return nil
	}
	s := c.streams[f.stream]
	if s == nil {
		return nil
	}
	if s.window += more; s.window > windowMax {
		return resets(f.stream, codeFlowControl, "a window that is too large")
	}
	c.enqueue(s)
	return nil
}
