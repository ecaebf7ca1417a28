package wire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/fault"
)

func TestHeads(t *testing.T) {
	for _, want := range []*Request{
		{Header: http.Header{}},
		{
			Program: "shop", Method: "POST", Target: "/a?b=c", Host: "shop.test:8080", Length: -1, Upgrade: true, Connection: 1 << 62,
			Header: http.Header{"Accept": {"a", "b"}, "Cookie": {""}},
		},
	} {
		head := want.Append(nil)
		got, err := ParseRequest(head)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
		for n := range head {
			if got, err := ParseRequest(head[:n]); err == nil {
				t.Fatalf("%d of %d bytes are %+v", n, len(head), got)
			}
		}
	}
	want := &Response{Status: 200, Length: -1, Header: http.Header{"Content-Type": {"text/html"}, "Set-Cookie": {"a=b", "c=d"}}}
	if got, err := ParseResponse(want.Append(nil)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []Response{
		{Status: 99},
		{Status: 200, Length: -2},
		{Status: 200, Header: http.Header{"A": {"b\r\nc: d"}}},
		{Status: 200, Header: http.Header{"A b": {"c"}}},
		{Status: 200, Header: http.Header{"set-cookie": {"c"}}},
	} {
		if got, err := ParseResponse(bad.Append(nil)); err == nil {
			t.Errorf("%+v was taken", got)
		}
	}
}

// TestErrors sends errors across: what others ask of them stays.
func TestErrors(t *testing.T) {
	limit := &fault.Error{Party: fault.Origin, Op: "run program", Status: 504, Retry: true, Proxy: "p", Notice: "n", Err: fmt.Errorf("wrapped: %w", &compute.LimitError{Limit: "cpu"})}
	for _, want := range []error{
		limit, fault.New(fault.Client, "read request", 400, io.ErrUnexpectedEOF), &fault.Error{Party: fault.Edge, Op: "run"},
		fmt.Errorf("waiting: %w", context.DeadlineExceeded), context.Canceled, errors.New("other"), errors.New(strings.Repeat("\x00", PieceMax)),
	} {
		text := AppendError(nil, want)
		got := ParseError(text)
		if len(text) > PieceMax {
			t.Errorf("%d bytes", len(text))
		}
		if w, g := fault.Of(want), fault.Of(got); w.Party != g.Party || w.Op != g.Op || w.Status != g.Status || w.Retry != g.Retry || w.Proxy != g.Proxy || w.Notice != g.Notice {
			t.Errorf("%+v, want %+v", g, w)
		}
		for _, is := range known {
			if errors.Is(want, is) != errors.Is(got, is) {
				t.Errorf("%v is %v: %v", got, is, errors.Is(got, is))
			}
		}
		if want != limit && got.Error() != Cut(want.Error()) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	var l *compute.LimitError
	if !errors.As(ParseError(AppendError(nil, limit)), &l) || l.Limit != "cpu" {
		t.Errorf("the limit is lost: %v", l)
	}
	if err := ParseError([]byte("{")); err == nil {
		t.Error("what is no error was none")
	}
}

func TestFrames(t *testing.T) {
	for _, want := range []Frame{{Open, true, 2, 1}, {Head, false, 0, 2}, {Data, true, 0, 1}, {Fail, false, 0, 3}, {Cancel, false, 0, 5}, {Credit, false, 9, 7}, {Tell, false, 3, 0}} {
		var b [FrameSize]byte
		want.Put(&b)
		record := b[:]
		if want.Kind == Open {
			record = append(record, "headbody"...)
		}
		got, head, body, err := Parse(record)
		if err != nil || got != want || want.Kind == Open && (string(head) != "he" || string(body) != "adbody") {
			t.Errorf("%+v, %q, %q, %v, want %+v", got, head, body, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	var b [FrameSize]byte
	Frame{Kind: Open, N: 3, Stream: 1}.Put(&b)
	f.Add(append(b[:], "abcdef"...))
	f.Add((&Request{Program: "a", Header: http.Header{"B": {"c"}}}).Append(nil))
	f.Add((&Response{Status: 200, Header: http.Header{"B": {"c", "d"}}}).Append(nil))
	f.Add(AppendError(nil, fault.New(fault.Client, "read", 400, io.ErrUnexpectedEOF)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if f, head, body, err := Parse(b); err == nil {
			if len(head) > HeadMax || len(body) > PieceMax || len(head)+len(body) > len(b) {
				t.Errorf("%+v: %d and %d bytes of %d", f, len(head), len(body), len(b))
			}
			var again [FrameSize]byte
			f.Put(&again)
			if string(again[:]) != string(b[:FrameSize]) {
				t.Errorf("%+v is read from %x", f, b[:FrameSize])
			}
		}
		if r, err := ParseRequest(b); err == nil {
			if again, err := ParseRequest(r.Append(nil)); err != nil || !reflect.DeepEqual(r, again) {
				t.Errorf("%+v, %v, want %+v", again, err, r)
			}
		}
		if r, err := ParseResponse(b); err == nil {
			if again, err := ParseResponse(r.Append(nil)); err != nil || !reflect.DeepEqual(r, again) {
				t.Errorf("%+v, %v, want %+v", again, err, r)
			}
		}
		if ParseError(b) == nil {
			t.Error("no error")
		}
	})
}
