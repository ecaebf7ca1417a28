package origin

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

type evilResponse struct {
	name, response string
	status         int // that the caller gets; 0 means a fault
	body, proxy    string
}

const good = "HTTP/1.1 200 OK\r\n"

// evilHeads can't be read, or only by a fool.
func evilHeads() []evilResponse {
	return []evilResponse{
		{"nothing", "", 0, "", "connection_terminated"},
		{"not http", "SSH-2.0-OpenSSH\r\n\r\n", 0, "", "http_protocol_error"},
		{"half a header", good + "Content-Le", 0, "", "http_protocol_error"},
		{"status too short", "HTTP/1.1 20 OK\r\n\r\n", 0, "", "http_protocol_error"},
		{"status too low", "HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n", 0, "", "http_protocol_error"},
		{"status too high", "HTTP/1.1 600 High\r\nContent-Length: 0\r\n\r\n", 0, "", "http_protocol_error"},
		{"version", "HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n", 0, "", "http_protocol_error"},
		{
			"switch unasked", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
			0, "", "http_upgrade_failed",
		},
		{"switch, crippled", "HTTP/1.1 101 Switching Protocols\r\n\r\n", 0, "", "http_upgrade_failed"},
		{"length with a space", good + "Content-Length : 1\r\n\r\nx", 0, "", "http_protocol_error"},
		{"name with a space", good + "Two Words: a\r\nContent-Length: 2\r\n\r\nok", 0, "", "http_protocol_error"},
		// RFC 9112 §5.1: the space is removed before the response is forwarded.
		{"name and a space", good + "X-Spaced : a\r\nContent-Length: 2\r\n\r\nok", 200, "ok", ""},
		{"line without a colon", good + "nonsense\r\n\r\n", 0, "", "http_protocol_error"},
		{"NUL in a value", good + "X: a\x00b\r\nContent-Length: 0\r\n\r\n", 0, "", "http_protocol_error"},
		{"lone CR in a value", good + "X: a\rb\r\nContent-Length: 0\r\n\r\n", 0, "", "http_protocol_error"},
		{"header begins with a space", good + " X: folded\r\nContent-Length: 0\r\n\r\n", 0, "", "http_protocol_error"},
	}
}

// evilFraming leaves doubts about where the response ends.
func evilFraming() []evilResponse {
	return []evilResponse{
		// RFC 9112 §5.2: replaced with a space before anybody sees it.
		{"obs-fold", good + "X-Folded: a\r\n b\r\nContent-Length: 2\r\n\r\nok", 200, "ok", ""},
		{"two lengths", good + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", 0, "", "http_protocol_error"},
		{"two equal lengths", good + "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab", 200, "ab", ""},
		{"negative length", good + "Content-Length: -1\r\n\r\n", 0, "", "http_protocol_error"},
		{"signed length", good + "Content-Length: +1\r\n\r\nx", 0, "", "http_protocol_error"},
		{"list of lengths", good + "Content-Length: 1, 2\r\n\r\nxy", 0, "", "http_protocol_error"},
		// RFC 9112 §6.3: Transfer-Encoding overrides, and Content-Length is removed before it's forwarded.
		{
			"length and chunked", good + "Content-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
			200, "ok", "",
		},
		// RFC 9112 §2.2: a recipient may take it for the end of a line. Nobody behind us sees it.
		{"lone LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, "ok", ""},
		// A response without content has none, whatever it says (§6.3); the connection isn't used again.
		{"204 with content", "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", 204, "", ""},
		{"304 with content", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok", 304, "", ""},
		{"two responses", good + "Content-Length: 2\r\n\r\nok" + good + "Content-Length: 4\r\n\r\nevil", 200, "ok", ""},
		{"many fields", good + strings.Repeat("a:\r\n", responseFieldsMax+1) + "\r\n", 0, "", "http_response_header_section_size"},
		{"chunk with a lone LF", good + "Transfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n", 200, "", "http_response_incomplete"},
		{"chunk longer than it is", good + "Transfer-Encoding: chunked\r\n\r\n1\r\nok\r\n0\r\n\r\n", 200, "o", "http_response_incomplete"},
		{
			"endless chunk extension", good + "Transfer-Encoding: chunked\r\n\r\n2;" + strings.Repeat("x", 8<<10) + "\r\nok\r\n0\r\n\r\n",
			200, "", "http_response_incomplete",
		},
		{
			"chunk extensions without end", good + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("x", 2000)+"\r\no\r\n", 100),
			200, "oooooooo", "http_response_incomplete",
		},
		{"unknown coding", good + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0, "", "http_protocol_error"},
		{
			"two codings", good + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
			0, "", "http_protocol_error",
		},
		{
			"huge header", good + "X: " + strings.Repeat("x", responseHeaderSizeMax) + "\r\n\r\n",
			0, "", "http_response_header_section_size",
		},
		{
			"many interim responses",
			strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 3000) + good + "Content-Length: 0\r\n\r\n",
			0, "", "http_response_header_section_size",
		},
		{"short body", good + "Content-Length: 9\r\n\r\nshort", 200, "short", "http_response_incomplete"},
		{"unfinished chunks", good + "Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", 200, "short", "http_response_incomplete"},
		{"bad chunk size", good + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 200, "", "http_response_incomplete"},
		{"huge chunk size", good + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n", 200, "", "http_response_incomplete"},
	}
}

// TestEvilResponses sends bytes that no good origin sends. Those that can be read in one way only pass, cleaned; the others are
// a 502, and never another request's response.
func TestEvilResponses(t *testing.T) {
	for _, tt := range append(evilHeads(), evilFraming()...) {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory()
			m.raw(t, "o.test:80", func(conn net.Conn) {
				readHeader(conn)
				_, _ = io.WriteString(conn, tt.response)
			})
			p := poolsOf(t, m, siteOf(t, defaults(), "http://o.test"))
			resp, err := p.Upstream("shop").RoundTrip(newRequest(t, http.MethodGet, "/", nil))
			status, body := 0, ""
			if err == nil {
				status = resp.StatusCode
				var b []byte
				b, err = io.ReadAll(resp.Body)
				body = string(b)
				_ = resp.Body.Close()
				if resp.Header.Get("Content-Length") == "99" {
					t.Error("Content-Length came through beside Transfer-Encoding")
				}
				if strings.Contains(tt.response, "X-Spaced") && resp.Header.Get("X-Spaced") != "a" {
					t.Errorf("header %q", resp.Header)
				}
				if v := resp.Header.Get("X-Folded"); v != "" && v != "a b" {
					t.Errorf("folded value %q", v)
				}
			}
			proxy := ""
			if err != nil {
				e := asFault(t, err)
				proxy = e.Proxy
				if e.Status != 502 || e.Party != "origin" {
					t.Errorf("fault %+v, want a 502 of the origin", e)
				}
			}
			if status != tt.status || body != tt.body || proxy != tt.proxy {
				t.Errorf("status %d, body %q, %s (%v); want %d, %q, %s", status, body, proxy, err, tt.status, tt.body, tt.proxy)
			}
			if n := inFlight(p); n != 0 {
				t.Errorf("%d requests in flight after the end", n)
			}
		})
	}
}
