package edge

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// smugglingTest is one request that two parsers may read in two ways (RFC 9112 §11.2), and what becomes of it.
type smugglingTest struct {
	name, raw string
	status    int
	why       reason
}

// smugglingTests all end in something that would be a request for /smuggled if the node took it for one.
func smugglingTests() []smugglingTest {
	const inner = "GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n"
	post := func(fields ...string) string {
		return "POST /outer HTTP/1.1\r\nHost: shop.test\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n"
	}
	get := func(fields ...string) string {
		return "GET /outer HTTP/1.1\r\nHost: shop.test\r\n" + strings.Join(fields, "\r\n") + "\r\n\r\n"
	}
	length := fmt.Sprintf("Content-Length: %d", len(inner))
	const chunked = "Transfer-Encoding: chunked"
	all := []smugglingTest{
		{"CL.TE", post("Content-Length: 6", chunked) + "0\r\n\r\n" + inner, 400, refusedMalformed},
		{"TE.CL", post(chunked, "Content-Length: 4") + "2d\r\n" + inner + "0\r\n\r\n", 400, refusedMalformed},
		{"CL twice", post("Content-Length: 0", length) + inner, 400, refusedMalformed},
		{"CL twice, the same", post("Content-Length: 3", "Content-Length: 3") + "abc" + inner, 400, refusedMalformed},
		{"CL is a list", post("Content-Length: 0, 45") + inner, 400, refusedMalformed},
		{"CL is signed", post("Content-Length: +0") + inner, 400, refusedMalformed},
		{"CL is negative", post("Content-Length: -1") + inner, 400, refusedMalformed},
		{"CL is hexadecimal", post("Content-Length: 0x0") + inner, 400, refusedMalformed},
		{"CL has an underscore", post("Content-Length: 1_0") + inner, 400, refusedMalformed},
		{"CL is empty", post("Content-Length:") + inner, 400, refusedMalformed},
		{"CL is too large", post("Content-Length: 18446744073709551616") + inner, 400, refusedMalformed},
		{"CL with a space before the colon", post("Content-Length : 0") + inner, 400, refusedMalformed},
		{"TE with a space before the colon", post("Transfer-Encoding : chunked") + "0\r\n\r\n" + inner, 400, refusedMalformed},
		{"TE with a tab before the colon", post("Transfer-Encoding\t: chunked") + "0\r\n\r\n" + inner, 400, refusedMalformed},
		{"TE twice", post(chunked, chunked) + "0\r\n\r\n" + inner, 400, refusedMalformed},
		{"TE twice, hidden", post(chunked, "Transfer-Encoding: cow") + "0\r\n\r\n" + inner, 400, refusedMalformed},
		{"TE is a list", post("Transfer-Encoding: identity, chunked") + "0\r\n\r\n" + inner, 501, refusedMalformed},
		{"TE misspelt", post("Transfer-Encoding: xchunked") + "0\r\n\r\n" + inner, 501, refusedMalformed},
		{"TE quoted", post(`Transfer-Encoding: "chunked"`) + "0\r\n\r\n" + inner, 501, refusedMalformed},
		{"TE with a vertical tab", post("Transfer-Encoding:\x0bchunked") + "0\r\n\r\n" + inner, 400, refusedMalformed},
		{"TE folded", post("Transfer-Encoding:\r\n chunked") + "0\r\n\r\n" + inner, 400, refusedMalformed},
		{"TE behind a lone LF", post("X: y\nTransfer-Encoding: chunked") + "0\r\n\r\n" + inner, 400, refusedMalformed},
		{"TE behind a lone CR", post("X: y\rTransfer-Encoding: chunked") + "0\r\n\r\n" + inner, 400, refusedMalformed},
		{
			"TE in HTTP/1.0", "POST /outer HTTP/1.0\r\nHost: shop.test\r\nConnection: keep-alive\r\n" + chunked + "\r\n\r\n0\r\n\r\n" + inner,
			400, refusedMalformed,
		},
		{"fold", get("X: a", " b") + inner, 400, refusedMalformed},
		{"fold before the fields", "GET /outer HTTP/1.1\r\n X: a\r\nHost: shop.test\r\n\r\n" + inner, 400, refusedMalformed},
		{"lone LF", "GET /outer HTTP/1.1\nHost: shop.test\n\n" + inner, 400, refusedMalformed},
		{"lone LF at the end", "GET /outer HTTP/1.1\r\nHost: shop.test\r\n\n" + inner, 400, refusedMalformed},
		{"lone CR", "GET /outer HTTP/1.1\r\nX: \r" + inner, 400, refusedMalformed},
		{"NUL in a value", get("X: a\x00b") + inner, 400, refusedMalformed},
		{"NUL in a name", get("X\x00: b") + inner, 400, refusedMalformed},
		{"field without a colon", get("X") + inner, 400, refusedMalformed},
		{"field without a name", get(": x") + inner, 400, refusedMalformed},
		{"space in the target", "GET /outer HTTP/1.1 /x HTTP/1.1\r\nHost: shop.test\r\n\r\n" + inner, 400, refusedMalformed},
		{"tab in the request line", "GET\t/outer HTTP/1.1\r\nHost: shop.test\r\n\r\n" + inner, 400, refusedMalformed},
		{"version", "GET /outer HTTP/1.11\r\nHost: shop.test\r\n\r\n" + inner, 400, refusedMalformed},
		{"other version", "GET /outer HTTP/2.1\r\nHost: shop.test\r\n\r\n" + inner, 505, refusedMalformed},
		{"two hosts", get("Host: bank.test") + inner, 400, refusedHost},
		{"no host", "GET /outer HTTP/1.1\r\n\r\n" + inner, 400, refusedHost},
		{"host with a path", "GET /outer HTTP/1.1\r\nHost: shop.test/x\r\n\r\n" + inner, 400, refusedHost},
		{"escape that is none", "GET /%zz HTTP/1.1\r\nHost: shop.test\r\n\r\n" + inner, 400, refusedTarget},
		{"expectation", get("Expect: the-spanish-inquisition") + inner, 417, refusedMalformed},
		{"content is no request", post(length) + inner, 200, ""},
		{"chunk is no request", post(chunked) + fmt.Sprintf("%x;x=\"\\\"\"\r\n%s\r\n0\r\n\r\n", len(inner), inner), 200, ""},
	}
	for name, chunks := range map[string]string{
		"chunk with a lone LF":     "2d\n" + inner + "\r\n0\r\n\r\n",
		"chunk longer than it is":  "1\r\nab\r\n0\r\n\r\n" + inner,
		"extension with a lone LF": "0;a\n\r\n\r\n" + inner,
		"extension without end":    "0;" + strings.Repeat("a", 5000) + "\r\n\r\n" + inner,
		"chunk size too large":     "10000000000000000\r\n\r\n" + inner,
		"trailer with a fold":      "0\r\nX: a\r\n b\r\n\r\n" + inner,
		"trailer with a lone LF":   "0\r\nX: a\n\r\n" + inner,
	} {
		all = append(all, smugglingTest{name, post(chunked) + chunks, 400, refusedMalformed})
	}
	return all
}

// Each attempt gets one answer, in cleartext and over TLS, is counted once and logged once, ends the connection, and no part of it
// is taken for a request.
func TestSmuggling(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	n := start(t, nodeOptions{upstream: func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		asked = append(asked, r.Method+" "+r.URL.Path)
		mu.Unlock()
		if r.Body != nil {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return nil, err
			}
		}
		return respond(200, "ok"), nil
	}})
	requests := 0
	for _, test := range smugglingTests() {
		for _, secure := range []bool{false, true} {
			name := fmt.Sprintf("%s (TLS: %t)", test.name, secure)
			before := n.refusedInAll()
			w := n.dialAs(secure)
			w.send(test.raw)
			resp, _ := w.response(http.MethodPost)
			requests++
			if resp.StatusCode != test.status {
				t.Errorf("%s: status %d, want %d", name, resp.StatusCode, test.status)
			}
			if resp.Header.Get("Cache-Status") == "" || resp.Header.Get(RequestIDField) == "" {
				t.Errorf("%s: not answered by the steps: %v", name, resp.Header)
			}
			if test.why == "" {
				w.Close()
				continue
			}
			if !resp.Close {
				t.Errorf("%s: the connection may be used again", name)
			}
			if _, err := io.Copy(io.Discard, w.r); err != nil && !errors.Is(err, syscall.ECONNRESET) { // where it hasn't read all
				t.Errorf("%s: %v", name, err)
			}
			if after := n.refusedInAll(); after[test.why] != before[test.why]+1 || after.sum() != before.sum()+1 {
				t.Errorf("%s: counted %v, before %v; want one more %s", name, after, before, test.why)
			}
		}
	}
	n.conns.wait()
	before := n.refusedInAll()
	records := n.records()
	if after := n.refusedInAll(); after.sum() != before.sum() {
		t.Errorf("counted again at the end: %v, before %v", after, before)
	}
	if len(records) != requests {
		t.Errorf("%d log records of %d requests", len(records), requests)
	}
	for _, r := range records {
		if r["path"] == "/smuggled" || r["status"] != 200.0 && r["refused"] == "" {
			t.Errorf("record %v", r)
		}
	}
	for _, a := range asked {
		if strings.Contains(a, "smuggled") {
			t.Errorf("the origin was asked %s", a)
		}
	}
}

// refusals by reason.
type refusalCounts map[reason]int

func (c refusalCounts) sum() (n int) {
	for _, count := range c {
		n += count
	}
	return n
}

func (n *node) refusedInAll() refusalCounts {
	all := refusalCounts{}
	for _, why := range reasons() {
		all[why] = n.refusals(why)
	}
	return all
}
