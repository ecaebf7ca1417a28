package exchange

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"testing"
	"time"
)

func seeds(f *testing.F, kinds bool) {
	e := encoder{dictionary: &dictionary{}}
	for i := range 4 {
		p, base := e.encode(time.Unix(1e9, 0), []field{
			{":method", "GET"},
			{":scheme", "https"},
			{":authority", "shop.example"},
			{":path", "/a?b"},
			{"X-Tenant", "customer 4711"},
			{"If-Modified-Since", "Tue, 15 Nov 1994 08:12:31 GMT"},
			{"Content-Length", "5"},
		})
		if i > 1 {
			e.confirm(base, 1)
		}
		request := append([]byte{p[0], 1, 2, 1}, p[1:]...)
		if kinds {
			framed := appendFrame(nil, kindFramed, request)
			framed = append(framed, 0, 2, 'a', 'b', 0x11, 1, 'x', 0, 3, 'c', 'd', 'e')
			f.Add(appendFrame(framed, kindTrailers, plainSection(func(e *encoder) { e.add("X-Sum", "7") })))
			f.Add(append(appendFrame(nil, kindRaw, request), "hello"...))
			f.Add(appendFrame(nil, kindEmpty, request))
		} else {
			f.Add(request)
		}
	}
}

// FuzzSection reads a section, writes what was read, and reads that.
func FuzzSection(f *testing.F) {
	seeds(f, false)
	f.Fuzz(func(t *testing.T, p []byte) {
		const limit = 1 << 14
		var d decoder
		for i := range d.slots {
			d.slots[i].field, d.slots[i].number = field{"X-Kept", "value"}, uint64(i)
		}
		var s section
		if err := d.read(&s, p, true, limit); err != nil {
			var f *failure
			if !errors.As(err, &f) {
				t.Fatalf("the error %v has no code", err)
			}
			return
		}
		size := 0
		for _, f := range s.fields {
			size += f.size()
			if !validValue(f.value) {
				t.Fatalf("the value of %q", f)
			}
		}
		if size > limit {
			t.Fatalf("a list of %d bytes", size)
		}
		e, fresh := encoder{dictionary: &dictionary{}}, decoder{}
		for range 3 {
			again, base := e.encode(time.Now(), s.fields)
			mustRead(t, &fresh, again, s.fields)
			e.confirm(base, 1)
		}
		if r, _, err := s.request(kindRaw); err == nil && !s.tooLarge {
			if r.URL == nil || r.Host == "" || r.Method == "" {
				t.Fatalf("half a request: %+v", r)
			}
			checkSameRequest(t, r)
		}
		if resp, err := s.response(kindRaw); err == nil && (resp.StatusCode < 100 || resp.StatusCode > 999) {
			t.Fatalf("status %d", resp.StatusCode)
		}
	})
}

// checkSameRequest writes a request that was read, and reads it again.
func checkSameRequest(t *testing.T, r *http.Request) {
	t.Helper()
	r.URL.Host, r.URL.Scheme, r.Body = r.Host, "https", http.NoBody
	plan, err := planRequest(r)
	if err != nil {
		return // such as a target that net/http writes in another way
	}
	plan.length = r.ContentLength
	there, here := newLink(), newLink()
	frame, _ := there.request(nil, plan, r)
	read := frames{r: bufio.NewReader(bytes.NewReader(frame))}
	k, err := read.head(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	var s section
	if err := here.readRequest(&s, read.section, 1<<20); err != nil {
		t.Fatal(err)
	}
	got, _, err := s.request(k)
	if err != nil {
		return // content that the method needs
	}
	want := r.Header.Clone()
	delete(want, "Content-Length")
	delete(got.Header, "Content-Length")
	equal := func(a, b []string) bool { return len(a) == len(b) && (len(a) == 0 || a[0] == b[0]) }
	if got.Method != r.Method || got.Host != r.Host || !maps.EqualFunc(got.Header, want, equal) {
		t.Fatalf("%+v became %+v", r, got)
	}
}

// FuzzStream reads a whole message.
func FuzzStream(f *testing.F) {
	seeds(f, true)
	f.Add([]byte{1, 0xff})
	f.Fuzz(func(t *testing.T, p []byte) {
		const limit = 1 << 12
		x := frames{r: bufio.NewReader(bytes.NewReader(p))}
		k, err := x.head(limit)
		if err != nil {
			return
		}
		var s section
		if err := newLink().readRequest(&s, x.section, limit); err != nil {
			return
		}
		r, _, err := s.request(k)
		if err != nil || k == kindEmpty {
			return
		}
		c := content{frames: &x, framed: k == kindFramed, limit: limit, left: r.ContentLength, trailer: func([]field) {}}
		n, err := io.Copy(io.Discard, reader(c.read))
		if n > int64(len(p)) || r.ContentLength >= 0 && (n > r.ContentLength || err == nil && n < r.ContentLength) {
			t.Fatalf("%d bytes of content of %d in %d: %v", n, r.ContentLength, len(p), err)
		}
	})
}

type reader func(p []byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }
