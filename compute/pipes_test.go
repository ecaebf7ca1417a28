package compute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/vmm/backend"
)

// begun is a response whose head is there.
func begun(t *testing.T, h *Host, r *http.Request) *http.Response {
	t.Helper()
	response, err := h.RoundTripper("guest").RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func ask(path string, body io.Reader) *http.Request {
	return httptest.NewRequest(http.MethodPost, "http://shop.example"+path, body)
}

// TestPipedResponses has programs on standard output say responses in one go, with waits between, and framed in each way.
func TestPipedResponses(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind})
		deploy(t, h, guest(t))
		for path, want := range map[string]string{
			"/dribble": "200 -1 onetwothree", "/until": "200 -1 to the end of the call", "/empty": "204 -1 ", "/same": "304 -1 ", "/interim": "200 5 final", "/count": "200 1 1",
			"/early": "200 5 early",
		} {
			response := begun(t, h, ask(path, nil))
			b, err := io.ReadAll(response.Body)
			if got := fmt.Sprint(response.StatusCode, " ", response.ContentLength, " ", string(b)); err != nil || got != want {
				t.Errorf("%s: %q, %v, want %q", path, got, err, want)
			}
			mustGet(t, h, "guest", "/count", "1")
		}
	})
}

// TestHeadsLeaveAtOnce has responses of which the end never comes.
func TestHeadsLeaveAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind})
		deploy(t, h, guest(t))
		for path, want := range map[string]string{"/compute": "soon", "/forever": "ticktick"} {
			response := begun(t, h, ask(path, nil))
			got := make([]byte, len(want))
			if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != want {
				t.Errorf("%s: %q, %v", path, got, err)
			}
			response.Body.Close() // the client leaves
			quiet(h)
			mustGet(t, h, "guest", "/count", "1")
		}
		if m := quiet(h)["guest"]; m.Errors["client"] != 2 || m.ColdStarts != 0 {
			t.Errorf("%+v", m)
		}
	})
}

// TestCutResponses wants an error at the end of what isn't whole, once the head has left.
func TestCutResponses(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind})
		p := guest(t)
		p.Limits.Output, p.Limits.CPU = 200_000, time.Second
		deploy(t, h, p)
		for path, want := range map[string]string{
			"/half": "half: exited with status 3", "/stops": "half: before it is whole", "/behind": "whole: something stands behind it", "/flood": ": \"output\"", "/compute": "soon: \"cpu\"",
		} {
			response := begun(t, h, ask(path, nil))
			b, err := io.ReadAll(response.Body)
			begin, end, _ := strings.Cut(want, ": ")
			if f := fault.Of(err); err == nil || f.Party != fault.Origin || !strings.HasPrefix(string(b), begin) || !strings.Contains(err.Error(), end) {
				t.Errorf("%s: %.20q, %v, want %s", path, b, err, want)
			}
			mustGet(t, h, "guest", "/count", "1")
		}
	})
}

// TestWallInTheMiddle ends a response that goes on for too long.
func TestWallInTheMiddle(t *testing.T) {
	h := running(t, Options{Machine: backend.Emulator})
	p := guest(t)
	p.Limits.Wall = 2 * time.Second
	deploy(t, h, p)
	response := begun(t, h, ask("/forever", nil))
	b, err := io.ReadAll(response.Body)
	var l *LimitError
	if !errors.As(err, &l) || l.Limit != "wall" || !strings.HasPrefix(string(b), "tick") {
		t.Errorf("%.20q, %v", b, err)
	}
	mustGet(t, h, "guest", "/count", "1")
}

// TestOneWriteOfMuch has a program write more than there is room for, by one call, to a client that reads later.
func TestOneWriteOfMuch(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind})
		deploy(t, h, guest(t))
		response := begun(t, h, ask("/flood", nil))
		mustGet(t, h, "guest", "/count", "1") // which isn't kept waiting
		b, err := io.ReadAll(response.Body)
		if want := "19 <nil>"; err != nil || len(b) != 1<<20+len(want) || !strings.HasSuffix(string(b), want) {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	})
}

// TestEarlyAnswers has a program answer before it has read the content, of which the rest never comes, or comes later.
func TestEarlyAnswers(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind, Instances: 1})
		deploy(t, h, guest(t))
		in, out := io.Pipe()
		r := ask("/early", in)
		r.ContentLength = 100_000
		response := begun(t, h, r)
		if b, err := io.ReadAll(response.Body); err != nil || string(b) != "early" {
			t.Errorf("%q, %v", b, err)
		}
		if _, err := out.Write(make([]byte, 100_000)); err == nil {
			t.Error("what nobody wants is read to its end")
		}
		mustGet(t, h, "guest", "/count", "1")

		p := guest(t)
		p.Isolation = PerInstance // which reads the rest: the next request stands behind it
		deploy(t, h, p)
		in, out = io.Pipe()
		r = ask("/early", in)
		r.ContentLength = 100_000
		response = begun(t, h, r)
		got := make([]byte, 5)
		if _, err := io.ReadFull(response.Body, got); err != nil || string(got) != "early" {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := out.Write(make([]byte, 100_000)); err != nil {
			t.Error(err)
		}
		if rest, err := io.ReadAll(response.Body); err != nil || len(rest) > 0 {
			t.Errorf("%q, %v", rest, err)
		}
		mustGet(t, h, "guest", "/count", "2")
	})
}

// TestBrokenBodies has clients send less than they said, more than is allowed, or leave in the middle.
func TestBrokenBodies(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind, Instances: 1})
		for _, isolation := range []Isolation{PerRequest, PerInstance} {
			p := guest(t)
			p.Isolation, p.Limits.Input = isolation, 50_000
			deploy(t, h, p)
			for _, c := range []struct {
				length, sent int
				limit        string
				status       int
			}{{40_000, 30_000, "client", 400}, {-1, 60_000, "input", 413}, {60_000, 0, "input", 413}, {20_000, 30_000, "client", 400}} {
				before := h.Metrics()["guest"].Errors[c.limit]
				r := ask("/count", strings.NewReader(strings.Repeat("x", c.sent)))
				if r.ContentLength = int64(c.length); c.length < 0 {
					r.URL.Path = "/sleep"
				}
				if _, err := send(h, "guest", r); err == nil || fault.Of(err).Status != c.status || fault.Of(err).Party != fault.Client {
					t.Errorf("%d of %d bytes: %v", c.sent, c.length, err)
				}
				if after := quiet(h)["guest"].Errors[c.limit]; after != before+1 {
					t.Errorf("%s is counted %d times", c.limit, after-before)
				}
				mustGet(t, h, "guest", "/echo", "GET /echo HTTP/1.1\r\nHost: shop.example\r\n\r\n")
			}
		}
	})
}

// TestContinue has a client wait for 100 Continue before it sends a large body.
func TestContinue(t *testing.T) {
	h := running(t, Options{Machine: backend.Emulator})
	p := server(t, PerRequest)
	p.Name, p.Env = "guest", append(p.Env, "SDK=1")
	deploy(t, h, p)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		response, err := h.RoundTripper("guest").RoundTrip(r)
		if err != nil {
			t.Error(err)
			return
		}
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(w, response.Body)
	}))
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100000\r\nConnection: close\r\n\r\n")
	const interim = "HTTP/1.1 100 Continue\r\n\r\n"
	got := make([]byte, len(interim))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != interim {
		t.Fatalf("%q, %v", got, err)
	}
	body := strings.Repeat("x", 100_000)
	if _, err := io.WriteString(c, body); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(c)
	if err != nil || strings.Count(string(all), "x") < 100_000 {
		t.Errorf("%d bytes, %v", len(all), err)
	}
}

// TestLeavesWhileItSends has a client leave in the middle of its request's body.
func TestLeavesWhileItSends(t *testing.T) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		h := running(t, Options{Machine: kind})
		p := server(t, PerRequest)
		p.Name, p.Env = "guest", append(p.Env, "SDK=1")
		deploy(t, h, p)
		ctx, cancel := context.WithCancel(t.Context())
		in, out := io.Pipe()
		response := begun(t, h, ask("/echo?flush", in).WithContext(ctx))
		if _, err := out.Write([]byte("one")); err != nil {
			t.Error(err)
		}
		cancel()
		if _, err := io.ReadAll(response.Body); fault.Of(err).Status != fault.StatusClientClosedRequest {
			t.Error(err)
		}
		if m := quiet(h)["guest"]; m.Errors["client"] != 1 || m.Ready != 1 {
			t.Errorf("%+v", m)
		}
		mustGet(t, h, "guest", "/count", "1")
	})
}
