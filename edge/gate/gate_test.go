package gate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

// script is a Conn whose client sends pieces and leaves.
type script struct {
	pieces  []string
	now     http.ConnState
	timeout bool // instead of leaving it falls silent
	hurried int
}

func (s *script) NextRequest(p []byte) (int, error) { return s.Rest(p) }
func (s *script) Hurry()                            { s.hurried++ }
func (s *script) State() http.ConnState             { return s.now }

func (s *script) Rest(p []byte) (int, error) {
	for len(s.pieces) > 0 && s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	if len(s.pieces) == 0 {
		if s.timeout {
			return 0, os.ErrDeadlineExceeded
		}
		return 0, io.EOF
	}
	n := copy(p, s.pieces[0])
	s.pieces[0] = s.pieces[0][n:]
	return n, nil
}

// reader is net/http's side of a gate.
type reader struct {
	*Gate
	*script
}

func (r reader) Read(p []byte) (int, error) { return r.Gate.Read(p, r.script) }

// served is what net/http makes of what a gate lets through.
type served struct {
	requests []string // method, target, content
	refusal  *Refusal
	err      error
}

// serveGate reads requests as net/http does, one at a time, and checks that the gate ends each message where net/http does.
func serveGate(t testing.TB, s *script, headMax int) (got served) {
	t.Helper()
	g := &Gate{HeadMax: headMax}
	b := bufio.NewReaderSize(reader{g, s}, 256)
	for {
		s.now = http.StateIdle
		r, err := http.ReadRequest(b)
		if err != nil {
			got.err = err
			return got
		}
		if got.refusal = g.refusal; got.refusal != nil {
			if rest, err := io.ReadAll(b); len(rest) > 0 || err != nil {
				t.Errorf("%q, %v after a request that is refused", rest, err)
			}
			return got
		}
		s.now = http.StateActive
		content, err := io.ReadAll(r.Body)
		got.requests = append(got.requests, r.Method+" "+r.RequestURI+" "+string(content))
		if got.err = err; err != nil {
			return got
		}
		if n := b.Buffered(); n > 0 {
			t.Fatalf("net/http has %d bytes left behind %s %s", n, r.Method, r.RequestURI)
		}
		if r.Close {
			return got
		}
	}
}

func TestGateLetsThroughWhatCanBeReadInOneWay(t *testing.T) {
	const host = " HTTP/1.1\r\nHost: shop.test\r\n"
	input := "GET /a" + host + "\r\n" +
		"\r\n\r\nPOST /b" + host + "Content-Length: 3\r\n\r\nabc" +
		"PUT /c" + host + "transfer-encoding: Chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n0A \r\n0123456789\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n" +
		"POST /d" + host + "Content-Length: 0\r\n\r\n" +
		"GET http://shop.test/e?f=%zz HTTP/1.1\r\nHost:\r\n\r\n" +
		"GET /\xc3\xa4" + host + "X: \xff\tb\r\nEmpty:\r\nExpect: 100-Continue\r\n\r\n" +
		"POST /g" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" +
		"OPTIONS * HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n" +
		"GET /last HTTP/1.0\r\n\r\nignored"
	want := []string{
		"GET /a ", "POST /b abc", "PUT /c abc0123456789", "POST /d ", "GET http://shop.test/e?f=%zz ", "GET /\xc3\xa4 ", "POST /g ",
		"OPTIONS * ", "GET /last ",
	}
	for cut := range len(input) {
		got := serveGate(t, &script{pieces: []string{input[:cut], input[cut:]}}, 4096)
		if got.refusal != nil || got.err != nil || fmt.Sprint(got.requests) != fmt.Sprint(want) {
			t.Fatalf("cut at %d: %q, refused %+v, %v; want %q", cut, got.requests, got.refusal, got.err, want)
		}
	}
	got := serveGate(t, &script{pieces: strings.Split(input, "")}, 4096)
	if got.refusal != nil || fmt.Sprint(got.requests) != fmt.Sprint(want) {
		t.Errorf("byte by byte: %q, refused %+v, %v", got.requests, got.refusal, got.err)
	}
}

func TestGateRefusesWhatIsBehindAGoodRequest(t *testing.T) {
	good := "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2\r\n\r\nab"
	bad := "GET /x HTTP/1.1\r\nHost: shop.test\r\nX: a\r\n b\r\n\r\n"
	for _, pieces := range [][]string{{good + bad + good}, {good, bad, good}, strings.Split(good+bad+good, "")} {
		got := serveGate(t, &script{pieces: pieces}, 4096)
		if len(got.requests) != 1 || got.refusal == nil || got.refusal.Status != 400 {
			t.Errorf("%q: %q, refused %+v", pieces, got.requests, got.refusal)
		}
	}
}

func TestGateBoundsHeaderSections(t *testing.T) {
	head := "GET /x HTTP/1.1\r\nHost: shop.test\r\n"
	many := strings.Repeat("a:\r\n", FieldsMax-1)
	for name, c := range map[string]struct {
		input  string
		silent bool
		status int // 0: none
	}{
		"whole and as large as it may be": {head + "X: " + strings.Repeat("x", 4096-len(head)-7) + "\r\n\r\n", false, 0},
		"whole and too large":             {head + "X: " + strings.Repeat("x", 4096) + "\r\n\r\n", false, 431},
		"without an end":                  {head + strings.Repeat("X: x\r\n", 2000), false, 431},
		"as many fields as there may be":  {head + many + "\r\n", false, 0},
		"too many fields":                 {head + many + "a:\r\n\r\n", false, 431},
		"silent":                          {head, true, 408},
		"silent after an empty line":      {"\r\n", true, 0},
		"silent from the beginning":       {"", true, 0},
		"gone":                            {head, false, 0},
		"no HTTP":                         {"\x16\x03\x01", true, 400},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{pieces: strings.Split(c.input, ""), timeout: c.silent}
			got := serveGate(t, s, 4096)
			status := 0
			if got.refusal != nil {
				status = got.refusal.Status
			}
			if status != c.status {
				t.Errorf("refused %+v, %v; want %d", got.refusal, got.err, c.status)
			}
			if len(c.input) > 2 && s.hurried == 0 && c.status != 400 {
				t.Error("the header section may take as long as it likes")
			}
		})
	}
}

// While it serves a request, net/http reads a byte of the next one, which a request of the gate's own then has to begin with.
func TestGateMindsTheByteThatNetHTTPReadsAhead(t *testing.T) {
	for _, c := range []struct {
		input, want string
		status      int
	}{
		{"GET /x HTTP/1.1\r\nHost: shop.test\r\n\r\n", "GET /x ", 0},
		{"GET /x HTTP/1.1\r\nHost: shop.test\r\nX\r\n\r\n", "", 400},
		{"TAKE x\r\n\r\n", "", 400},
		{"\r\n\r\nGET /x HTTP/1.1\r\nHost: shop.test\r\n\r\n", "GET /x ", 0},
		{"\x00 / HTTP/1.1\r\n\r\n", "", 0}, // net/http refuses it
	} {
		s := &script{pieces: []string{c.input}, now: http.StateActive}
		g := &Gate{HeadMax: 4096}
		r := reader{g, s}
		var ahead [1]byte
		if n, err := r.Read(ahead[:]); n != 1 || err != nil || ahead[0] != strings.TrimLeft(c.input, "\r\n")[0] {
			t.Fatalf("%q: %d bytes, %v", c.input, n, err)
		}
		s.now = http.StateIdle
		got, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(string(ahead[:])), r)))
		status := 0
		if g.refusal != nil {
			status = g.refusal.Status
		}
		switch {
		case c.input[0] == 0:
			if err == nil {
				t.Errorf("%q was taken for a request", c.input)
			}
		case err != nil || status != c.status || c.want != "" && got.Method+" "+got.RequestURI+" " != c.want:
			t.Errorf("%q: %+v, %v, refused %d; want %q, %d", c.input, got, err, status, c.want, c.status)
		}
	}
}

func TestGateOpensForAnotherProtocol(t *testing.T) {
	s := &script{pieces: []string{"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nearly", "\x00\x01later\n\n"}}
	g := &Gate{HeadMax: 4096}
	b := bufio.NewReader(reader{g, s})
	if _, err := http.ReadRequest(b); err != nil {
		t.Fatal(err)
	}
	s.now = http.StateHijacked
	if got, err := io.ReadAll(b); string(got) != "early\x00\x01later\n\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestMalformedChunks(t *testing.T) {
	for _, chunks := range []string{
		"", "\r\n", "x\r\n", "3\nabc\r\n0\r\n\r\n", "3\rabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "3\r\nabc\n0\r\n\r\n", "3\r\nabc0\r\n\r\n",
		"-3\r\nabc\r\n0\r\n\r\n", "0x3\r\nabc\r\n0\r\n\r\n", "3;a\nb\r\nabc\r\n0\r\n\r\n", "3;\x00\r\nabc\r\n0\r\n\r\n", " 3\r\nabc\r\n0\r\n\r\n",
		"8000000000000000\r\n", "ffffffffffffffff\r\n", "10000000000000003\r\nabc\r\n0\r\n\r\n", "00000000000000003\r\nabc\r\n0\r\n\r\n",
		"3;" + strings.Repeat("x", chunkLineMax) + "\r\nabc\r\n0\r\n\r\n", "0\r\n\n", "0\r\nX: a\n\r\n", "0\r\nX : a\r\n\r\n", "0\r\n X: a\r\n\r\n",
		"0\r\nX: a\r\n b\r\n\r\n", "0\r\nX\r\n\r\n", "0\r\nX: \x00\r\n\r\n", "0\r\n" + strings.Repeat("X: a\r\n", trailersMax/6+1) + "\r\n",
	} {
		input := "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
		for _, pieces := range [][]string{{input + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"}, strings.Split(input+"XY", "")} {
			got := serveGate(t, &script{pieces: pieces}, 4096)
			if got.err == nil || len(got.requests) != 1 {
				t.Errorf("%.60q: %q, %v; want an error", chunks, got.requests, got.err)
			}
		}
	}
}

// Wherever net/http sees the end of a message, the gate sees it too.
func FuzzGate(f *testing.F) {
	for _, raw := range []string{
		"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\nGET /b HTTP/1.1\r\nHost: shop.test\r\n\r\n",
		"\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\r\nGET /b HTTP/1.0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"\r\n\"\r\nabc\r\n0\r\nX: y\r\n\r\nGET /b HTTP/1.1\r\nHost:\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n2d\r\nGET /b HTTP/1.1\r\n",
		"POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01",
		"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a@b\r\nExpect: x\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
	} {
		f.Add(raw, uint16(60))
	}
	f.Fuzz(func(t *testing.T, raw string, cut uint16) {
		if len(raw) > 64<<10 {
			return
		}
		at := int(cut) % (len(raw) + 1)
		whole := serveGate(t, &script{pieces: []string{raw}}, 2048)
		parts := serveGate(t, &script{pieces: []string{raw[:at], raw[at:]}}, 2048)
		if fmt.Sprint(whole.requests) != fmt.Sprint(parts.requests) || (whole.refusal == nil) != (parts.refusal == nil) {
			t.Errorf("%q, cut at %d: %q %v %v, else %q %v %v", raw, at, parts.requests, parts.refusal, parts.err, whole.requests, whole.refusal, whole.err)
		}
		if whole.refusal != nil && (whole.refusal.Status < 400 || whole.refusal.Why == "") {
			t.Errorf("%q: refused with %+v", raw, whole.refusal)
		}
	})
}

func TestGateHoldsNothingBetweenRequests(t *testing.T) {
	s := &script{pieces: []string{"GET / HTTP/1.1\r\nHost: a", "\r\n\r\n"}}
	g := &Gate{HeadMax: 4096}
	if _, err := http.ReadRequest(bufio.NewReader(reader{g, s})); err != nil || g.held != nil {
		t.Errorf("%v, holds %d bytes", err, cap(g.held))
	}
	if _, err := g.Read(make([]byte, 10), s); !errors.Is(err, io.EOF) {
		t.Errorf("%v at the end", err)
	}
}
