package wherry

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// ask serves requests over memory, and returns the answers to them as net/http reads them.
func ask(t *testing.T, h http.HandlerFunc, requests ...string) (answers []string, err error) {
	t.Helper()
	var out bytes.Buffer
	err = serve(&stream{stdin: strings.NewReader(strings.Join(requests, "")), stdout: &out, logs: io.Discard}, h)
	reader := bufio.NewReader(&out)
	for _, text := range requests {
		r, _ := http.NewRequest(strings.Fields(text)[0], "/", nil)
		response, err := http.ReadResponse(reader, r)
		if err != nil {
			break
		}
		content, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, fmt.Sprint(response.StatusCode, " ", response.ContentLength, " ", response.TransferEncoding, " ", len(content)))
	}
	return answers, err
}

func TestResponses(t *testing.T) {
	const head = " / HTTP/1.1\r\nHost: a\r\n"
	large := strings.Repeat("x", pieceMax)
	for name, test := range map[string]struct {
		do   http.HandlerFunc
		want string // status, length, transfer encoding, bytes; of a GET
		head string // of a HEAD
	}{
		"nothing": {func(http.ResponseWriter, *http.Request) {}, "200 0 [] 0", "200 0 [] 0"},
		"text":    {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "text") }, "200 4 [] 4", "200 4 [] 0"},
		"status":  {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 404); w.WriteHeader(200) }, "404 3 [] 3", "404 3 [] 0"},
		"no body": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204); _, _ = io.WriteString(w, "text") }, "204 0 [] 0", "204 -1 [] 0"},
		"panic":   {func(http.ResponseWriter, *http.Request) { panic("at the disco") }, "500 22 [] 22", "500 22 [] 0"},
		"pieces": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, large+"x")
			_, _ = io.WriteString(w, "y")
		}, "200 -1 [chunked] 262146", "200 262146 [] 0"},
		"flush":     {func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); _, _ = io.WriteString(w, "y") }, "200 -1 [chunked] 1", "200 1 [] 0"},
		"no splits": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("A", "b\r\nContent-Length: 9") }, "200 0 [] 0", "200 0 [] 0"},
	} {
		t.Run(name, func(t *testing.T) {
			// the body of the second, that nobody reads, isn't taken for the third
			got, err := ask(t, test.do, "GET"+head+"\r\n", "GET"+head+"Content-Length: 5\r\n\r\nGET /", "HEAD"+head+"\r\n")
			if err != nil || fmt.Sprint(got) != fmt.Sprint([]string{test.want, test.want, test.head}) {
				t.Errorf("answers %q, want %q twice and %q: %v", got, test.want, test.head, err)
			}
		})
	}
}

func TestWhatIsNoRequestIsAnswered400(t *testing.T) {
	got, err := ask(t, func(http.ResponseWriter, *http.Request) {}, "GET / SMTP\r\n\r\n")
	if err == nil || len(got) != 1 || !strings.HasPrefix(got[0], "400 ") {
		t.Errorf("%q, %v", got, err)
	}
}

// TestAHalfAnswer ends the program: nobody may take it for a whole one.
func TestAHalfAnswer(t *testing.T) {
	var out bytes.Buffer
	s := &stream{stdin: strings.NewReader("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), stdout: &out, logs: io.Discard}
	err := serve(s, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	if err == nil || strings.HasSuffix(out.String(), "0\r\n\r\n") {
		t.Errorf("%v, %q", err, out.String())
	}
}
