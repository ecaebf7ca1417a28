package h2

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// handlerTest is a request and a handler whose exchange has to look the same by net/http's server and by ours.
type handlerTest struct {
	name    string
	method  string
	body    string
	header  http.Header
	handler http.HandlerFunc
}

func handlerTests() []handlerTest {
	write := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
	}
	long := strings.Repeat("0123456789abcdef", 20<<10)
	return []handlerTest{
		{name: "nothing", handler: func(http.ResponseWriter, *http.Request) {}},
		{name: "short", handler: write("hello")},
		{name: "html", handler: write("<html>")},
		{name: "long", handler: write(long)},
		{name: "head", method: "HEAD", handler: write("hello")},
		{name: "head of nothing", method: "HEAD", handler: func(http.ResponseWriter, *http.Request) {}},
		{name: "head with length", method: "HEAD", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
		}},
		{name: "echo", method: "POST", body: long, handler: func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }},
		{
			name: "request", method: "PUT", body: "x", header: http.Header{"X-A": {"1", "2"}, "Cookie": {"a=b", "c=d"}},
			handler: func(w http.ResponseWriter, r *http.Request) {
				for _, name := range slices.Sorted(maps.Keys(r.Header)) {
					fmt.Fprintf(w, "%s: %q\n", name, r.Header[name])
				}
				fmt.Fprintln(w, r.Method, r.URL, r.RequestURI, r.Proto, r.ProtoMajor, r.ContentLength, r.TLS, r.Host != "", r.RemoteAddr != "")
			},
		},
		{name: "statuses", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			w.WriteHeader(500)
			_, _ = io.WriteString(w, "no")
		}},
		{name: "not modified", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"1"`)
			w.WriteHeader(304)
			if _, err := io.WriteString(w, "no"); !errors.Is(err, http.ErrBodyNotAllowed) {
				panic(err)
			}
		}},
		{name: "flushes", handler: func(w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				_, _ = io.WriteString(w, "part ")
				_ = http.NewResponseController(w).Flush()
			}
		}},
		{name: "trailers", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, "hello")
			w.Header().Set("X-Sum", "1")
			w.Header().Set(http.TrailerPrefix+"X-Late", "2")
		}},
		{name: "trailers that are announced and have a prefix", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum, X-Other")
			w.WriteHeader(200)
			w.Header().Set(http.TrailerPrefix+"X-Sum", "2")
		}},
		{name: "trailers without content", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(http.TrailerPrefix+"X-Late", "2")
		}},
		{name: "interim", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</a>")
			w.WriteHeader(103)
			w.WriteHeader(103)
			w.Header().Del("Link")
			w.WriteHeader(200)
		}},
		{name: "expect", method: "POST", body: "hello", header: http.Header{"Expect": {"100-continue"}}, handler: func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			fmt.Fprint(w, r.Header["Expect"], string(body), err)
		}},
		{name: "fields of a connection", handler: func(w http.ResponseWriter, _ *http.Request) {
			for _, name := range []string{"Connection", "Transfer-Encoding"} {
				w.Header().Set(name, "x")
			}
			_, _ = io.WriteString(w, "hello")
		}},
		{name: "bad fields", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["X Y"] = []string{"a"}
			w.Header()["X-Z"] = []string{"a\nb", "c"}
			w.Header()["Content-Type"] = nil
			_, _ = io.WriteString(w, "hello")
		}},
		{name: "abort", handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{name: "abort later", handler: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "part")
			w.(http.Flusher).Flush()
			panic("oops")
		}},
		{name: "request not read", method: "POST", body: long + long + long, handler: write("no, thanks")},
		{name: "goaway", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			_, _ = io.WriteString(w, "bye")
		}},
	}
}

func TestHandlersSeeWhatNetHTTPShows(t *testing.T) {
	for _, test := range handlerTests() {
		t.Run(test.name, func(t *testing.T) {
			theirs, ours := test.exchange(t, false), test.exchange(t, true)
			if theirs != ours {
				t.Errorf("by net/http:\n%.2000s\nby ours:\n%.2000s", theirs, ours)
			}
		})
	}
}

// exchange returns all that a client can see.
func (test *handlerTest) exchange(t *testing.T, ours bool) string {
	client, url := onLoopback(t, ours, test.handler)
	var body io.Reader
	if test.body != "" {
		body = struct{ io.Reader }{strings.NewReader(test.body)}
	}
	method := test.method
	if method == "" {
		method = "GET"
	}
	var out strings.Builder
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		fmt.Fprintln(&out, "interim", code, h)
		return nil
	}}
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), method, url+"/a%2fb?c=%20", body)
	if err != nil {
		t.Fatal(err)
	}
	if test.body == "hello" {
		r.ContentLength = int64(len(test.body))
	}
	maps.Copy(r.Header, test.header)
	resp, err := client.Do(r)
	if err != nil {
		return out.String() + "no response"
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	delete(resp.Header, "Date")
	fmt.Fprintln(&out, resp.Status, resp.ContentLength, resp.Header, resp.Trailer, err != nil, len(content), string(content))
	return out.String()
}

func TestRequestTrailers(t *testing.T) {
	for _, ours := range []bool{false, true} {
		client, url := onLoopback(t, ours, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			before := fmt.Sprint(r.Trailer)
			_, _ = io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, before, r.Trailer, r.Header["Trailer"])
		}))
		r, _ := http.NewRequest("POST", url, struct{ io.Reader }{strings.NewReader("hello")})
		r.Trailer = http.Header{"X-Sum": {"1"}}
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := "map[X-Sum:[]]map[X-Sum:[1]] []"; string(body) != want {
			t.Errorf("ours: %t: %s, want %s", ours, body, want)
		}
	}
}

// Both directions at once, many streams, more content than any window.
func TestManyEchoes(t *testing.T) {
	client, url := onLoopback(t, true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		_, _ = io.Copy(w, r.Body)
	}))
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			content := strings.Repeat(string(rune('a'+i)), 3<<20)
			resp, err := client.Post(url, "text/plain", strings.NewReader(content))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if got, err := io.ReadAll(resp.Body); err != nil || string(got) != content {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	group.Wait()
}

func TestDeadlines(t *testing.T) {
	read, wrote := make(chan error, 1), make(chan error, 1)
	client, url := onLoopback(t, true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Now().Add(time.Millisecond))
		_, err := r.Body.Read(make([]byte, 10))
		read <- err
		_ = control.SetReadDeadline(time.Time{})
		w.WriteHeader(200)
		_ = control.Flush()
		_ = control.SetWriteDeadline(time.Now().Add(time.Millisecond))
		for err = nil; err == nil; {
			_, err = w.Write(make([]byte, 1<<20))
		}
		wrote <- err
	}))
	pr, pw := io.Pipe()
	defer pw.Close()
	resp, err := client.Post(url, "text/plain", pr)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, err := range []error{<-read, <-wrote} {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("a response that was broken off looks complete")
	}
}
