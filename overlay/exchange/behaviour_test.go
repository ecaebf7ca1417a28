package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/overlay/exchange"
	"github.com/wherry/wherry/overlay/exchange/exchangetest"
)

// bubble is a client and a server in a bubble of synctest, which also finds goroutines that are left over.
type bubble struct {
	t       *testing.T
	over    *exchange.Transport
	session *exchangetest.Session
	stop    context.CancelFunc // of Serve
	served  chan error
}

func inBubble(t *testing.T, h http.HandlerFunc, limits exchange.Limits, run func(b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		client, server := exchangetest.Pair("edge", "parent", 1<<14)
		ctx, stop := context.WithCancel(t.Context())
		b := &bubble{t: t, session: client, stop: stop, served: make(chan error, 1)}
		b.over = &exchange.Transport{Session: func(context.Context) (exchange.Session, error) { return client, nil }}
		s := &exchange.Server{Handler: h, Limits: limits, Log: slog.New(slog.DiscardHandler)}
		go func() { b.served <- s.Serve(ctx, server) }()
		run(b)
		client.Kill()
		stop()
		synctest.Wait()
		if n := client.Streams(); n != 0 {
			t.Errorf("%d streams are left open", n)
		}
	})
}

func (b *bubble) get(ctx context.Context) (*http.Response, error) {
	return b.over.RoundTrip(get("http://shop.example/").WithContext(ctx))
}

// content is a request's content that tells whether it was closed.
type content struct {
	io.Reader
	once   sync.Once
	closed chan struct{}
}

func newContent(r io.Reader) *content { return &content{Reader: r, closed: make(chan struct{})} }

func (c *content) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (c *content) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

func TestCancelledRequestEndsTheHandlersContext(t *testing.T) {
	var left chan time.Time // made in the bubble
	inBubble(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		left <- time.Now()
	}, exchange.Limits{}, func(b *bubble) {
		left = make(chan time.Time, 1)
		ctx, cancel := context.WithTimeout(b.t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		_, err := b.get(ctx)
		if f := fault.Of(err); f.Status != http.StatusGatewayTimeout || f.Retry || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a request that takes too long gives %+v", f)
		}
		synctest.Wait()
		if at := <-left; at.Sub(began) != 3*time.Second {
			t.Errorf("the handler was told after %v", at.Sub(began))
		}
		ctx, leave := context.WithCancel(b.t.Context())
		time.AfterFunc(time.Second, leave)
		_, err = b.get(ctx)
		if f := fault.Of(err); f.Party != fault.Client || f.Status != fault.StatusClientClosedRequest {
			t.Errorf("a client that leaves gives %+v", f)
		}
	})
}

func TestCancelWhileContentIsRead(t *testing.T) {
	var ended chan struct{} // made in the bubble
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		for {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				break
			}
		}
		<-r.Context().Done()
	}, exchange.Limits{}, func(b *bubble) {
		ended = make(chan struct{})
		ctx, cancel := context.WithCancel(b.t.Context())
		resp, err := b.get(ctx)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := io.Copy(io.Discard, resp.Body); !errors.Is(err, context.Canceled) {
			t.Errorf("reading on after the context has ended gives %v", err)
		}
		_ = resp.Body.Close()
		<-ended
	})
}

func TestClosingContentEarlyStopsTheHandler(t *testing.T) {
	var stopped chan error // made in the bubble
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				stopped <- err
				return
			}
		}
	}, exchange.Limits{}, func(b *bubble) {
		stopped = make(chan error, 1)
		resp, err := b.get(b.t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadFull(resp.Body, make([]byte, 1000))
		_ = resp.Body.Close()
		if code, ok := exchange.ResetCode(<-stopped); !ok || code != exchange.CodeCancelled {
			t.Errorf("the handler's write fails with code %d", code)
		}
	})
}

func TestBackPressure(t *testing.T) {
	var mu sync.Mutex
	written := 0
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 1000 {
			n, _ := w.Write(make([]byte, 10<<10))
			mu.Lock()
			written += n
			mu.Unlock()
		}
	}, exchange.Limits{}, func(b *bubble) {
		resp, err := b.get(b.t.Context())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		mu.Lock()
		if written > 2*exchangetest.WindowBytes {
			t.Errorf("%d bytes were written that nobody reads", written)
		}
		mu.Unlock()
		if n, err := io.Copy(io.Discard, resp.Body); n != 10_240_000 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}

func TestBackPressureOfRequests(t *testing.T) {
	var taken atomic.Int64
	inBubble(t, func(_ http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Minute)
		_, _ = io.Copy(io.Discard, r.Body)
	}, exchange.Limits{}, func(b *bubble) {
		c := newContent(reader(func(p []byte) (int, error) {
			if taken.Add(int64(len(p))) > 10<<20 {
				return 0, io.EOF
			}
			return len(p), nil
		}))
		r, _ := http.NewRequestWithContext(b.t.Context(), http.MethodPost, "http://shop.example/", c)
		go func() {
			resp, err := b.over.RoundTrip(r)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Error(err)
			}
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := taken.Load(); n > 3*exchangetest.WindowBytes {
			t.Errorf("%d bytes were taken that the handler doesn't read", n)
		}
		time.Sleep(2 * time.Minute)
		if n := taken.Load(); n < 10<<20 || !c.isClosed() {
			t.Errorf("%d bytes were sent, closed %v", n, c.isClosed())
		}
	})
}

type reader func(p []byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }

func TestTooManyExchangesAreRefused(t *testing.T) {
	inBubble(t, func(http.ResponseWriter, *http.Request) { time.Sleep(time.Second) }, exchange.Limits{ExchangesMax: 3}, func(b *bubble) {
		var refused, answered int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				c := newContent(strings.NewReader("content"))
				r, _ := http.NewRequestWithContext(b.t.Context(), http.MethodPost, "http://shop.example/", c)
				r.GetBody = func() (io.ReadCloser, error) { return newContent(strings.NewReader("content")), nil }
				resp, err := b.over.RoundTrip(r)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					_ = resp.Body.Close()
					answered++
				} else if f := fault.Of(err); f.Retry && f.Party == fault.Peer {
					refused++
				} else {
					t.Errorf("refused with %v, retry %v", err, f.Retry)
				}
				<-c.closed
			})
		}
		wg.Wait()
		if answered != 3 || refused != 7 {
			t.Errorf("%d answered, %d refused", answered, refused)
		}
	})
}

func TestSilentStreamsAreReset(t *testing.T) {
	inBubble(t, func(http.ResponseWriter, *http.Request) {}, exchange.Limits{HeaderTimeout: 5 * time.Second}, func(b *bubble) {
		stream, _ := b.session.OpenStream(b.t.Context())
		_, _ = stream.Write([]byte{1, 100, 0})
		began := time.Now()
		_, err := stream.Read(make([]byte, 1))
		if code, _ := exchange.ResetCode(err); code != exchange.CodeTimeout || time.Since(began) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestNonsenseIsReset(t *testing.T) {
	inBubble(t, func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }, exchange.Limits{}, func(b *bubble) {
		for _, p := range []string{"GET / HTTP/1.1\r\n\r\n", "\x00\x01a", "\x05\x01\x00", "\x01\x02\x00\x00", "\x02\x05\x00\x00\xff\xff\xff"} {
			stream, _ := b.session.OpenStream(b.t.Context())
			_, _ = stream.Write([]byte(p))
			_ = stream.CloseWrite()
			_, err := stream.Read(make([]byte, 1))
			if code, ok := exchange.ResetCode(err); !ok || code != exchange.CodeMalformed && code != exchange.CodeCancelled {
				t.Errorf("%q is answered with %v", p, err)
			}
		}
	})
}

func TestHeaderLimits(t *testing.T) {
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Much", strings.Repeat("x", len(r.Header.Get("X-Ask"))*10))
	}, exchange.Limits{HeaderBytesMax: 10_000}, func(b *bubble) {
		b.over.HeaderBytesMax = 20_000
		for _, c := range []struct {
			ask, status int
			err         string
		}{
			{100, 200, ""},
			{9_900, 431, ""},
			{15_000, 431, ""},
			{50_000, 0, "client: read header: parent finds the header section too large"},
			{3_000, 0, "peer: read header: parent sent a header section that is too large"},
			{100, 200, ""},
		} {
			r := get("http://shop.example/").WithContext(b.t.Context())
			r.Header.Set("X-Ask", strings.Repeat("!", c.ask))
			resp, err := b.over.RoundTrip(r)
			if err != nil {
				if c.err == "" || !strings.HasPrefix(err.Error(), c.err) {
					t.Errorf("a field of %d bytes gives %v", c.ask, err)
				}
				continue
			}
			_ = resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Errorf("a field of %d bytes gives %d", c.ask, resp.StatusCode)
			}
		}
	})
}

func TestSessionDies(t *testing.T) {
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/content" {
			_, _ = io.WriteString(w, strings.Repeat("x", 10_000))
		}
		<-r.Context().Done()
	}, exchange.Limits{}, func(b *bubble) {
		failed := make(chan error, 2)
		for _, path := range []string{"/header", "/content"} {
			go func() {
				resp, err := b.over.RoundTrip(get("http://shop.example" + path).WithContext(b.t.Context()))
				if err == nil {
					_, err = io.Copy(io.Discard, resp.Body)
				}
				failed <- err
			}()
		}
		time.Sleep(time.Second)
		b.session.Kill()
		for range 2 {
			if f := fault.Of(<-failed); f.Retry || f.Party != fault.Peer || f.Status != http.StatusBadGateway {
				t.Errorf("what may have been acted on gives %+v", f)
			}
		}
		c := newContent(strings.NewReader("content"))
		r, _ := http.NewRequestWithContext(b.t.Context(), http.MethodPost, "http://shop.example/", c)
		_, err := b.over.RoundTrip(r)
		if f := fault.Of(err); !f.Retry || f.Party != fault.Peer || !c.isClosed() {
			t.Errorf("what wasn't sent gives %+v", f)
		}
		if err := <-b.served; err != nil {
			t.Errorf("Serve returns %v", err)
		}
	})
}

func TestDrain(t *testing.T) {
	inBubble(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(20 * time.Second):
		case <-r.Context().Done():
		}
	}, exchange.Limits{DrainTimeout: 30 * time.Second}, func(b *bubble) {
		answers := make(chan error, 1)
		go func() {
			_, err := b.get(b.t.Context())
			answers <- err
		}()
		synctest.Wait()
		began := time.Now()
		b.stop()
		synctest.Wait()
		if _, err := b.get(b.t.Context()); !fault.Of(err).Retry {
			t.Errorf("a request to a server that drains gives %v", err)
		}
		if err := <-answers; err != nil {
			t.Errorf("a request that ran when draining began gives %v", err)
		}
		if err := <-b.served; err != nil || time.Since(began) != 20*time.Second {
			t.Errorf("Serve returns %v after %v", err, time.Since(began))
		}
	})
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}, exchange.Limits{DrainTimeout: 30 * time.Second}, func(b *bubble) {
		go func() {
			resp, err := b.get(b.t.Context())
			if err == nil {
				_, err = io.ReadAll(resp.Body)
			}
			if err == nil {
				t.Error("a response that was cut off looks whole")
			}
		}()
		synctest.Wait()
		began := time.Now()
		b.stop()
		if err := <-b.served; err != nil || time.Since(began) != 30*time.Second {
			t.Errorf("Serve returns %v after %v, though a handler goes on", err, time.Since(began))
		}
	})
}

func TestFullDuplex(t *testing.T) {
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 1)
		for {
			if _, err := r.Body.Read(buf); err != nil {
				return
			}
			_, _ = w.Write(buf)
			w.(http.Flusher).Flush()
		}
	}, exchange.Limits{}, func(b *bubble) {
		pr, pw := io.Pipe()
		r, _ := http.NewRequestWithContext(b.t.Context(), http.MethodPost, "http://shop.example/", pr)
		go func() { _, _ = pw.Write([]byte("0")) }()
		resp, err := b.over.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1)
		for i := range 10 {
			if _, err := io.ReadFull(resp.Body, buf); err != nil || buf[0] != byte('0'+i) {
				t.Fatalf("%q %v", buf, err)
			}
			_, _ = pw.Write([]byte{byte('0' + i + 1)})
		}
		_ = pw.Close()
		rest, err := io.ReadAll(resp.Body)
		if string(rest) != ":" || err != nil {
			t.Errorf("the rest is %q, %v", rest, err)
		}
	})
}

func TestEarlyResponseEndsTheUpload(t *testing.T) {
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	}, exchange.Limits{}, func(b *bubble) {
		pr, _ := io.Pipe() // nothing ever comes
		c := newContent(pr)
		go func() {
			<-c.closed
			_ = pr.Close()
		}()
		r, _ := http.NewRequestWithContext(b.t.Context(), http.MethodPost, "http://shop.example/", c)
		resp, err := b.over.RoundTrip(r)
		if err != nil || resp.StatusCode != http.StatusUnauthorized {
			t.Fatal(err)
		}
		synctest.Wait()
		if !c.isClosed() {
			t.Error("the content isn't closed")
		}
	})
}

func TestUnfinishedContentNeverLooksWhole(t *testing.T) {
	var got chan error // made in the bubble
	inBubble(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		got <- err
	}, exchange.Limits{}, func(b *bubble) {
		got = make(chan error, 1)
		why := errors.New("the disk is gone")
		r, _ := http.NewRequestWithContext(b.t.Context(), http.MethodPost, "http://shop.example/", io.MultiReader(strings.NewReader("half"), reader(func([]byte) (int, error) {
			time.Sleep(time.Second)
			return 0, why
		})))
		_, err := b.over.RoundTrip(r)
		if f := fault.Of(err); !errors.Is(err, why) || f.Party != fault.Client || f.Retry {
			t.Errorf("a content that fails gives %+v", f)
		}
		if err := <-got; err == nil {
			t.Error("the handler takes half of the content for the whole")
		}
		r, _ = http.NewRequestWithContext(b.t.Context(), http.MethodPost, "http://shop.example/", io.MultiReader(strings.NewReader("half"), reader(func([]byte) (int, error) {
			time.Sleep(time.Second)
			return 0, io.EOF
		})))
		r.ContentLength = 8
		if _, err := b.over.RoundTrip(r); err == nil {
			t.Error("content that is shorter than its length is sent")
		}
		if err := <-got; err == nil {
			t.Error("the handler takes half of the content for the whole")
		}
	})
}

func TestContinueTimeout(t *testing.T) {
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Minute) // it doesn't ask
		echo(w, r)
	}, exchange.Limits{}, func(b *bubble) {
		resp, err := b.over.RoundTrip(expecting("content")("http://shop.example/").WithContext(b.t.Context()))
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); string(body) != "content" || err != nil {
			t.Errorf("%q %v", body, err)
		}
	})
}

func TestDeadlinesOfTheHandler(t *testing.T) {
	var got chan error // made in the bubble
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if r.Method == http.MethodPost {
			_ = control.SetReadDeadline(time.Now().Add(time.Second))
			_, err := io.ReadAll(r.Body)
			got <- err
			return
		}
		_ = control.SetWriteDeadline(time.Now().Add(time.Second))
		_, err := w.Write(make([]byte, 1<<20))
		got <- err
	}, exchange.Limits{}, func(b *bubble) {
		got = make(chan error, 2)
		began := time.Now()
		resp, err := b.get(b.t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := <-got; err == nil || time.Since(began) != time.Second {
			t.Errorf("writing to who doesn't read gives %v after %v", err, time.Since(began))
		}
		if _, err := io.Copy(io.Discard, resp.Body); err == nil {
			t.Error("a response that was broken off looks whole")
		}
		pr, pw := io.Pipe()
		defer pw.Close()
		r, _ := http.NewRequestWithContext(b.t.Context(), http.MethodPost, "http://shop.example/", pr)
		if _, err := b.over.RoundTrip(r); err != nil {
			t.Error(err)
		}
		if err := <-got; err == nil {
			t.Error("reading from who doesn't write ends well")
		}
	})
}

func TestConnectHalfClose(t *testing.T) {
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "closed.example:5432" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		conn, err := exchange.TakeOver(w, http.StatusOK)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		all, _ := io.ReadAll(conn) // up to the end that the client sends
		fmt.Fprintf(conn, "%s %d %s", r.Host, len(all), conn.RemoteAddr())
	}, exchange.Limits{}, func(b *bubble) {
		connect := func(host string) (*http.Response, error) {
			r, _ := http.NewRequestWithContext(b.t.Context(), http.MethodConnect, "http://"+host, nil)
			return b.over.RoundTrip(r)
		}
		resp, err := connect("db.example:5432")
		if err != nil {
			t.Fatal(err)
		}
		conn := resp.Body.(*exchange.Conn)
		_, _ = conn.Write(make([]byte, 100_000))
		_ = conn.CloseWrite()
		answer, err := io.ReadAll(conn)
		if string(answer) != "db.example:5432 100000 edge" || err != nil {
			t.Errorf("%q %v", answer, err)
		}
		_ = conn.Close()
		if resp, err = connect("closed.example:5432"); err != nil || resp.StatusCode != http.StatusForbidden {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if string(body) != "no\n" || err != nil {
			t.Errorf("%q %v", body, err)
		}
	})
}

func TestHijackOutlivesTheHandler(t *testing.T) {
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		go func() {
			defer conn.Close()
			time.Sleep(time.Minute)
			_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\n\r\nhello")
			_ = rw.Flush()
		}()
	}, exchange.Limits{}, func(b *bubble) {
		resp, err := b.over.RoundTrip(upgrade("http://shop.example/").WithContext(b.t.Context()))
		if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
			t.Fatal(err)
		}
		all, err := io.ReadAll(resp.Body)
		if string(all) != "hello" || err != nil {
			t.Errorf("%q %v", all, err)
		}
		_ = resp.Body.Close()
		if _, err := b.over.RoundTrip(upgrade("http://shop.example/").WithContext(b.t.Context())); err != nil {
			t.Error(err)
		}
	})
}

func TestPlainRequestsCantBeHijacked(t *testing.T) {
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("hijacking gives %v", err)
		}
		if _, err := exchange.TakeOver(w, http.StatusOK); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("taking over gives %v", err)
		}
	}, exchange.Limits{}, func(b *bubble) {
		if resp, err := b.get(b.t.Context()); err != nil || resp.StatusCode != http.StatusOK {
			t.Error(err)
		}
	})
}

func TestManyAtOnce(t *testing.T) {
	inBubble(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Tenant", r.Header.Get("X-Tenant"))
		time.Sleep(time.Duration(len(r.Header.Get("X-Tenant"))) * time.Millisecond)
		_, _ = io.WriteString(w, r.URL.Path)
	}, exchange.Limits{ExchangesMax: 1 << 14}, func(b *bubble) {
		var wg sync.WaitGroup
		many := 10_000
		if testing.Short() {
			many = 1000
		}
		for i := range many {
			wg.Go(func() {
				r := get(fmt.Sprintf("http://shop.example/%d", i)).WithContext(b.t.Context())
				r.Header.Set("X-Tenant", strings.Repeat("customer ", i%7+1))
				resp, err := b.over.RoundTrip(r)
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				if string(body) != r.URL.Path || err != nil || resp.Header.Get("X-Tenant") != strings.TrimSpace(r.Header.Get("X-Tenant")) {
					t.Errorf("%q %v %q", body, err, resp.Header)
				}
			})
		}
		wg.Wait()
	})
}

func TestRequestsThatCantBeSent(t *testing.T) {
	over := &exchange.Transport{Session: func(context.Context) (exchange.Session, error) { return nil, errors.New("no node is reachable") }}
	for _, c := range []struct {
		change func(r *http.Request)
		party  fault.Party
		retry  bool
	}{
		{func(*http.Request) {}, fault.Peer, true},
		{func(r *http.Request) { r.Header["Bad Name"] = []string{"x"} }, fault.Client, false},
		{func(r *http.Request) { r.Header["X-Bad"] = []string{"a\nb"} }, fault.Client, false},
		{func(r *http.Request) { r.Method = "G T" }, fault.Client, false},
		{func(r *http.Request) { r.URL.Scheme = "ftp" }, fault.Client, false},
		{func(r *http.Request) { r.Host, r.URL.Host = "", "" }, fault.Client, false},
		{func(r *http.Request) {
			r.Header["Connection"], r.Header["Upgrade"] = []string{"upgrade"}, []string{"x"}
		}, fault.Client, false},
	} {
		body := newContent(strings.NewReader("content"))
		r, _ := http.NewRequest(http.MethodPost, "http://shop.example/", body)
		c.change(r)
		_, err := over.RoundTrip(r)
		if f := fault.Of(err); f.Party != c.party || f.Retry != c.retry || !body.isClosed() {
			t.Errorf("%v: of %s, retry %v, closed %v", err, f.Party, f.Retry, body.isClosed())
		}
	}
}

func TestPriority(t *testing.T) {
	client, server := exchangetest.Pair("edge", "parent", 10)
	defer client.Kill()
	over := &exchange.Transport{Session: func(context.Context) (exchange.Session, error) { return client, nil }}
	var streams []*exchangetest.Stream
	s := &exchange.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/image" {
			w.Header().Set("Priority", "u=5, i")
		}
	})}
	go func() { _ = s.Serve(t.Context(), &watched{server, &streams}) }()
	for _, c := range []struct {
		path, priority string
		want           int32
	}{{"/style.css", "u=1", 1}, {"/image", "u=1, i", 5}, {"/nonsense", "u=9", 0}} {
		r := get("http://shop.example" + c.path)
		r.Header.Set("Priority", c.priority)
		resp, err := over.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if got := streams[len(streams)-1].Priority.Load(); got != c.want {
			t.Errorf("%s with %q is sent with %d, want %d", c.path, c.priority, got, c.want)
		}
	}
}

// watched notes the streams that a session accepts.
type watched struct {
	*exchangetest.Session
	streams *[]*exchangetest.Stream
}

func (w *watched) AcceptStream(ctx context.Context) (exchange.Stream, error) {
	s, err := w.Session.AcceptStream(ctx)
	if err == nil {
		*w.streams = append(*w.streams, s.(*exchangetest.Stream))
	}
	return s, err
}

// TestBothSidesAsk has both sides of one session ask and answer at the same time; each direction has its own dictionaries.
func TestBothSidesAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := exchangetest.Pair("a", "b", 1000)
		ctx, stop := context.WithCancel(t.Context())
		var serving, asking sync.WaitGroup
		for _, side := range []*exchangetest.Session{a, b} {
			s := &exchange.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for _, name := range []string{"X-Tenant", "X-Place", "X-Changing"} {
					w.Header().Set(name, r.Header.Get(name)+" seen by "+side.Peer())
				}
				_, _ = io.WriteString(w, r.RemoteAddr)
			})}
			serving.Go(func() { _ = s.Serve(ctx, side) })
			over := &exchange.Transport{Session: func(context.Context) (exchange.Session, error) { return side, nil }}
			for worker := range 8 {
				asking.Go(func() {
					for i := range 300 {
						r := get(fmt.Sprintf("http://shop.example/%d", i%10)).WithContext(ctx)
						want := map[string]string{"X-Tenant": "customer", "X-Place": fmt.Sprint("place ", worker), "X-Changing": fmt.Sprint("value ", i/20)}
						for name, value := range want {
							r.Header.Set(name, value)
						}
						resp, err := over.RoundTrip(r)
						if err != nil {
							t.Error(err)
							return
						}
						_ = resp.Body.Close()
						for name, value := range want {
							other := map[string]string{"a": "b", "b": "a"}[side.Peer()]
							if got := resp.Header.Get(name); got != value+" seen by "+other {
								t.Errorf("%s is %q", name, got)
							}
						}
					}
				})
			}
		}
		asking.Wait()
		stop()
		a.Kill()
		serving.Wait()
	})
}
