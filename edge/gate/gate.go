package gate

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
)

// Gate is the gate of one connection. The zero value, with HeadMax, is one on which nothing has come yet. It has no lock: net/http
// calls Read from one goroutine at a time, and Refusal belongs to the handler of the request.
type Gate struct {
	HeadMax int // bytes of a header section

	at      station
	framing framing
	held    []byte // of the client, not yet net/http's but for the first passed of it
	passed  int    // how many bytes of held net/http has got while it was active
	cleared int    // how many bytes of held may pass
	err     error  // what comes after held

	refusal *Refusal // of the request that net/http got last
}

// station is what of a message comes next.
type station uint8

const (
	atHead    station = iota // a header section
	atContent                // content
	atOpen                   // whatever it is: the connection doesn't speak HTTP any more
	atShut                   // nothing: the connection ends
)

// Reason is why a request is refused.
type Reason string

// The reasons.
const (
	Malformed     Reason = "malformed"
	HeaderSize    Reason = "header_size"
	HeaderTimeout Reason = "header_timeout"
	Host          Reason = "host"
	Target        Reason = "target"
)

// Refusal is how a request is answered that net/http doesn't get.
type Refusal struct {
	Why    Reason
	Status int
	Notice string // for the client
}

// Conn is the connection before the gate.
type Conn interface {
	// NextRequest reads where the next byte is the first of a request, and the gate holds none before it.
	NextRequest(p []byte) (int, error)
	// Rest reads anywhere else.
	Rest(p []byte) (int, error)
	// Hurry bounds how long the rest of a header section may take. What comes after that is os.ErrDeadlineExceeded.
	Hurry()
	// State is where net/http is.
	State() http.ConnState
}

// Refusal returns why the request that Read returned last is refused, or nil.
func (g *Gate) Refusal() *Refusal { return g.refusal }

// Read returns what net/http may have.
func (g *Gate) Read(p []byte, c Conn) (n int, err error) {
	switch {
	case g.cleared > 0:
		return g.pass(p), nil
	case g.at == atShut || g.err != nil && len(g.held) == 0:
		return 0, cmpErr(g.err, io.EOF)
	case c.State() == http.StateHijacked:
		g.at = atOpen
	}
	switch g.at {
	case atHead:
		return g.readHead(p, c)
	case atContent:
		if len(g.held) == 0 {
			n, err = c.Rest(p)
			return g.follow(p[:n], 0, err)
		}
		g.cleared = g.advance(g.held)
	default:
		if len(g.held) == 0 {
			return c.Rest(p)
		}
		g.drop(g.passed)
		g.cleared = len(g.held)
	}
	if g.cleared == 0 {
		return 0, cmpErr(g.err, io.EOF)
	}
	return g.pass(p), nil
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// pass hands out what is cleared.
func (g *Gate) pass(p []byte) int {
	n := copy(p, g.held[:g.cleared])
	g.cleared -= n
	g.drop(n)
	return n
}

// drop forgets the first n bytes held. An idle connection holds no buffer.
func (g *Gate) drop(n int) {
	g.passed = max(0, g.passed-n)
	if g.held = g.held[n:]; len(g.held) == 0 {
		g.held = nil
	}
}

// follow passes what of p, from skip on, belongs to the message at hand, and keeps the rest for later.
func (g *Gate) follow(p []byte, skip int, err error) (int, error) {
	n := skip
	if g.at == atContent {
		n += g.advance(p[skip:])
	}
	if n == len(p) {
		return n, err
	}
	if g.at != atShut {
		g.held = append(g.held, p[n:]...)
	}
	if g.err == nil {
		g.err = lasting(err)
	}
	if n == 0 {
		return 0, cmpErr(g.err, io.EOF)
	}
	return n, nil
}

// lasting returns err unless it was a deadline, after which a connection can be read again.
func lasting(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// advance follows the content in p and returns how much of p belongs to it.
func (g *Gate) advance(p []byte) (used int) {
	used, ended, err := g.framing.follow(p)
	switch {
	case err != nil:
		g.at, g.err, g.held = atShut, err, g.held[:min(used, len(g.held))]
	case ended:
		g.at = atHead
	}
	return used
}

// readHead returns a header section that is whole and good, as far as p has room, or one of the gate's own.
func (g *Gate) readHead(p []byte, c Conn) (int, error) {
	if c.State() == http.StateActive {
		return g.readAhead(p[:1], c)
	}
	for searched := 0; ; {
		if len(g.held) == 0 {
			n, err := c.NextRequest(p)
			if n == 0 {
				return 0, err
			}
			if end := headEnd(p[:n], 0); end > 0 && p[0] != '\r' {
				if g.refusal = g.judge(p[:end]); g.refusal == nil {
					return g.follow(p[:n], end, err)
				}
			}
			g.held = append(g.held, p[:n]...)
			g.err = lasting(err)
		}
		if g.skipEmptyLines() {
			searched = 0
		}
		switch {
		case g.settle(searched):
			return g.pass(p), nil
		case g.err != nil:
			return 0, g.err
		case len(g.held) == 0:
			continue
		case searched == 0:
			c.Hurry()
		}
		searched = len(g.held)
		n, err := c.Rest(p)
		g.held = append(g.held, p[:n]...)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			g.refusal = &Refusal{HeaderTimeout, http.StatusRequestTimeout, "The header section of the request took too long."}
			g.replace()
			return g.pass(p), nil
		}
		g.err = lasting(err)
	}
}

// settle says whether it is clear what becomes of what is held, the first searched bytes of which hold no end of a header section.
func (g *Gate) settle(searched int) bool {
	end := headEnd(g.held, searched)
	switch {
	case len(g.held) == 0:
		return false
	case end > 0:
		if g.refusal = g.judge(g.held[:end]); g.refusal != nil {
			g.replace()
			return true
		}
		g.cleared = end - g.passed
		g.drop(g.passed)
	case g.held[0] != '\r' && class[g.held[0]]&inName == 0:
		g.refusal = malformed("The request doesn't begin like one of HTTP/1.1.") // no use to wait for its end
		g.replace()
	case len(g.held) > g.HeadMax:
		g.refusal = tooLarge()
		g.replace()
	case g.err != nil: // the client has left in the middle, which net/http has to find out
		g.drop(g.passed)
		g.at, g.cleared = atOpen, len(g.held)
	}
	return g.cleared > 0
}

// readAhead gives net/http one byte of the next request while it serves one. It wants to see whether the client leaves.
func (g *Gate) readAhead(p []byte, c Conn) (int, error) {
	for {
		g.skipEmptyLines()
		if len(g.held) > 1 || len(g.held) == 1 && g.held[0] != '\r' {
			g.passed = copy(p, g.held)
			return g.passed, nil
		}
		n, err := c.Rest(p)
		if n == 0 {
			return 0, err
		}
		g.held = append(g.held, p[:n]...)
		g.err = lasting(err)
	}
}

// skipEmptyLines drops those that come before a request (RFC 9112 §2.2).
func (g *Gate) skipEmptyLines() (some bool) {
	for g.passed == 0 && bytes.HasPrefix(g.held, []byte("\r\n")) {
		g.drop(2)
		some = true
	}
	return some
}

// judge says why the request with the header section head is refused, or which content follows it.
func (g *Gate) judge(head []byte) *Refusal {
	if len(head) > g.HeadMax {
		return tooLarge()
	}
	var s section
	if why := s.parse(head); why != nil {
		return why
	}
	g.framing = s.framing
	if s.framing.has() {
		g.at = atContent
	}
	return nil
}

// replace puts a request of the gate's own in the place of all that is held. Its content, which never comes, makes net/http close
// the connection in two steps (RFC 9112 §9.6), so that what the client still sends doesn't make it lose the answer.
func (g *Gate) replace() {
	method, target := "GET", "*"
	if m, t, ok := g.asked(); ok {
		method, target = m, t
	} else if g.passed > 0 && class[g.held[0]]&inName != 0 {
		method = string(g.held[:1])
	}
	own := method + " " + target + " HTTP/1.1\r\nHost:\r\nContent-Length: 1000000000\r\nConnection: close\r\n\r\n"
	if g.passed > 0 && own[0] != g.held[0] { // net/http has a first byte that begins no request, and refuses that itself
		own = string(g.held)
	}
	g.held, g.cleared, g.at, g.err = []byte(own[g.passed:]), len(own)-g.passed, atShut, nil
	g.passed = 0
}

// askedMax is how long the target of a request that is bad may be in the log.
const askedMax = 1 << 10

// asked returns the method and the target of a request that is bad if they are good, for the log.
func (g *Gate) asked() (method, target string, ok bool) {
	line, _, _ := bytes.Cut(g.held, []byte("\n"))
	line, _ = bytes.CutSuffix(line, []byte("\r"))
	var s section
	if s.parseRequestLine(line) != nil || s.method == http.MethodConnect || s.target[0] != '/' || len(s.target) > askedMax {
		return "", "", false
	}
	return s.method, s.target, true
}

// headEnd returns where the header section at the beginning of p ends, with the empty line that net/http would take for its end,
// or 0. The first searched bytes have been looked at before.
func headEnd(p []byte, searched int) int {
	for i := max(0, searched-2); ; {
		j := bytes.IndexByte(p[i:], '\n')
		if j < 0 {
			return 0
		}
		i += j + 1
		switch {
		case len(bytes.Trim(p[:i], "\r\n")) == 0: // an empty line before the request
		case len(p) > i && p[i] == '\n':
			return i + 1
		case len(p) > i+1 && p[i] == '\r' && p[i+1] == '\n':
			return i + 2
		}
	}
}
