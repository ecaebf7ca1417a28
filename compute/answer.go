package compute

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// answer reads the response to a request as it comes (RFC 9112). It is strict: what could be read in two ways is an error.
type answer struct {
	request  *http.Request
	switches bool           // the program may switch protocols
	response *http.Response // once its header section is there; its body is whoever has it to give
	whole    bool
	closes   bool // the program says that it closes the connection
	more     bool // there were bytes behind it

	begin    []byte // of the header section
	interims int
	framing  framing
	left     int64 // bytes of the content, or of the chunk
	chunk    chunkState
	line     []byte // of chunked, that isn't whole
	trailer  int    // bytes of it
}

type chunkState uint8

const (
	chunkLine chunkState = iota
	chunkData
	chunkEnd
	trailerLine
)

// feed takes b and returns the content in it, which is in b's memory.
func (a *answer) feed(b []byte) (content []byte, err error) {
	for a.response == nil {
		if len(b) == 0 {
			return nil, nil
		}
		if b, err = a.head(b); err != nil {
			return nil, err
		}
	}
	switch a.framing {
	case byLength:
		n := min(a.left, int64(len(b)))
		a.left -= n
		a.whole, a.more = a.left == 0, a.more || int64(len(b)) > n
		return b[:n], nil
	case byChunks:
		return a.chunks(b)
	case byEnd, switching:
		return b, nil
	}
	a.more = a.more || len(b) > 0
	return nil, nil
}

// end tells that nothing comes any more.
func (a *answer) end() error {
	switch {
	case a.response == nil && len(a.begin) == 0:
		return errNothing
	case a.response == nil:
		if _, _, _, err := readHead(a.begin); err != nil {
			return err
		}
		return errCut
	case a.framing != byEnd && a.framing != switching && !a.whole:
		return errCut
	}
	a.whole = true
	return nil
}

var endOfSection = []byte("\r\n\r\n")

// head takes what may belong to the header section, and returns the rest.
func (a *answer) head(b []byte) ([]byte, error) {
	before, section := len(a.begin), b
	if before > 0 || !bytes.Contains(b, endOfSection) { // most are there at once, and needn't be kept
		a.begin = append(a.begin, b[:min(len(b), sectionMax+1)]...)
		section = a.begin
	}
	end := bytes.Index(section[max(before-3, 0):], endOfSection)
	if end < 0 {
		if len(a.begin) > sectionMax {
			return nil, errors.New("its header section doesn't end")
		}
		return nil, nil
	}
	end += max(before-3, 0) + len(endOfSection)
	status, header, _, err := readHead(section[:end])
	if err != nil {
		return nil, err
	}
	rest := b[end-before:]
	a.begin = a.begin[:0]
	if status < 200 && status != http.StatusSwitchingProtocols { // RFC 9110 §15.2
		if a.interims++; a.interims > interimMax {
			return nil, fmt.Errorf("it begins with more than %d interim responses", interimMax)
		}
		return rest, nil
	}
	return rest, a.accept(status, header)
}

// accept has the header section of the final response.
func (a *answer) accept(status int, header http.Header) (err error) {
	length := int64(-1)
	if status == http.StatusSwitchingProtocols {
		if !a.switches {
			return errors.New("it switches protocols, which programs that listen may")
		}
		asked, got := upgrade(a.request.Header), upgrade(header)
		if asked == "" || got == "" {
			return errors.New("it switches protocols, which the request didn't ask for")
		}
		endHop(header)
		header["Connection"], header["Upgrade"] = []string{"Upgrade"}, []string{got}
		a.framing = switching
	} else {
		if a.framing, length, err = framed(status, header, a.request.Method); err != nil {
			return err
		}
		a.closes = connectionNames(header)["Close"]
		endHop(header)
		if length >= 0 {
			header.Set("Content-Length", strconv.FormatInt(length, 10))
		}
	}
	a.response = newResponse(a.request, status, nil)
	a.response.Header, a.response.ContentLength, a.response.Body = header, length, nil
	a.left, a.whole = length, a.framing == empty || a.framing == byLength && length == 0
	return nil
}

// upgrade is the protocol that a header section asks for or switches to (RFC 9110 §7.8).
func upgrade(h http.Header) string {
	if !connectionNames(h)["Upgrade"] {
		return ""
	}
	return strings.Join(h["Upgrade"], ", ")
}

// chunks takes the framing off (RFC 9112 §7.1), in place.
func (a *answer) chunks(b []byte) (content []byte, err error) {
	content = b[:0]
	for len(b) > 0 && !a.whole {
		if a.chunk == chunkData {
			n := min(a.left, int64(len(b)))
			content, b = append(content, b[:n]...), b[n:]
			if a.left -= n; a.left == 0 {
				a.chunk = chunkEnd
			}
			continue
		}
		end := bytes.IndexByte(b, '\n') + 1
		if end == 0 {
			end = len(b)
		}
		a.line, b = append(a.line, b[:end]...), b[end:]
		switch {
		case len(a.line) > sectionMax:
			return content, errors.New("a line between its chunks doesn't end")
		case a.line[len(a.line)-1] == '\n':
			if err := a.between(); err != nil {
				return content, err
			}
			a.line = a.line[:0]
		case a.chunk == chunkEnd && len(a.line) > 1:
			return content, errors.New("a chunk is longer than its size")
		}
	}
	a.more = a.more || len(b) > 0
	return content, nil
}

// between reads a line that isn't of the content.
func (a *answer) between() error {
	line, _, err := readLine(a.line)
	if err != nil {
		return err
	}
	switch a.chunk {
	case chunkLine:
		n, err := chunkSize(line)
		if err != nil {
			return err
		}
		a.left, a.chunk = int64(n), chunkData
		if n == 0 {
			a.chunk = trailerLine
		}
	case chunkEnd:
		if line != "" {
			return errors.New("a chunk is longer than its size")
		}
		a.chunk = chunkLine
	default: // trailers are dropped (§7.1.2)
		a.whole = line == ""
		if a.trailer += len(a.line); a.trailer > sectionMax {
			return errors.New("its trailer section is too long")
		}
	}
	return nil
}
