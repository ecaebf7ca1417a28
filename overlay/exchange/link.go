package exchange

import (
	"net/http"
	"sync"
	"time"
)

// link is what one side of a session keeps for its requests, or for its answers: the dictionaries of both directions. All is lost
// with the session, as it is on the other side.
type link struct {
	out sync.Mutex // protects encoder
	encoder

	in          sync.Mutex // protects what follows
	decoder     decoder
	unconfirmed []confirmation // of responses that were read
}

func newLink() *link { return &link{encoder: encoder{dictionary: &dictionary{}}} }

// request appends the frame of a request to dst, and returns the base of its section.
func (l *link) request(dst []byte, p *plan, r *http.Request) (frame []byte, base uint64) {
	var told [confirmationsMax]confirmation
	n := l.takeUnconfirmed(told[:])
	l.out.Lock()
	defer l.out.Unlock()
	now := time.Now()
	l.begin(now)
	l.addRequest(p, r)
	var buf [256]byte
	section, base := l.end(buf[:0], now, true, told[:n])
	return appendFrame(dst, p.kind, section), base
}

func (l *link) takeUnconfirmed(to []confirmation) int {
	l.in.Lock()
	defer l.in.Unlock()
	n := copy(to, l.unconfirmed)
	l.unconfirmed = l.unconfirmed[:copy(l.unconfirmed, l.unconfirmed[n:])]
	return n
}

// response appends the frame of a response.
func (l *link) response(dst []byte, k kind, add func(e *encoder)) []byte {
	l.out.Lock()
	defer l.out.Unlock()
	now := time.Now()
	l.begin(now)
	add(&l.encoder)
	var buf [256]byte
	section, _ := l.end(buf[:0], now, false, nil)
	return appendFrame(dst, k, section)
}

// plainSection returns a section that needs no dictionary.
func plainSection(add func(e *encoder)) []byte {
	var e encoder
	add(&e)
	section, _ := e.end(nil, time.Time{}, false, nil)
	return section
}

// readRequest reads the section of a request, and takes note of what it confirms.
func (l *link) readRequest(s *section, p []byte, limit int) error {
	l.in.Lock()
	err := l.decoder.read(s, p, true, limit)
	l.in.Unlock()
	l.arrived(s.confirmed)
	return err
}

// readResponse reads the section of a response.
func (l *link) readResponse(s *section, p []byte, limit int) error {
	l.in.Lock()
	defer l.in.Unlock()
	if err := l.decoder.read(s, p, false, limit); err != nil || s.base == 0 {
		return err
	}
	for i := range l.unconfirmed {
		if c := &l.unconfirmed[i]; c.base == s.base {
			c.n++
			return nil
		}
	}
	if len(l.unconfirmed) < 4*confirmationsMax { // what isn't confirmed is given up after a minute
		l.unconfirmed = append(l.unconfirmed, confirmation{s.base, 1})
	}
	return nil
}

// arrived takes note that the peer has read sections.
func (l *link) arrived(confirmed []confirmation) {
	if len(confirmed) == 0 {
		return
	}
	l.out.Lock()
	defer l.out.Unlock()
	for _, c := range confirmed {
		l.confirm(c.base, c.n)
	}
}
