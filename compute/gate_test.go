package compute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/vmm/backend"
)

var askerImage = sync.OnceValues(func() ([]byte, error) { return build("./testdata/asker") })

func asking(t testing.TB, env ...string) Program {
	t.Helper()
	image, err := askerImage()
	if err != nil {
		t.Fatal(err)
	}
	return Program{
		Name: "asker", Tenant: "acme", Image: image, Env: append([]string{"GOMAXPROCS=1"}, env...),
		Limits: Limits{CPU: 20 * time.Second, Wall: time.Minute, Output: 16 << 20, Input: 4 << 20},
	}
}

// ways are how asker is asked.
var ways = map[string][]string{"listens": nil, "reads": {"STDIN=1"}}

// onWays runs f on each machine for programs of each kind.
func onWays(t *testing.T, f func(t *testing.T, kind backend.Kind, env []string)) {
	onEach(t, func(t *testing.T, kind backend.Kind) {
		for name, env := range ways {
			t.Run(name, func(t *testing.T) { f(t, kind, env) })
		}
	})
}

// shop is what stands at the gate in most tests.
func shop(w http.ResponseWriter, r *http.Request) {
	a, ok := AskerOf(r.Context())
	switch r.URL.Path {
	case "/who":
		fmt.Fprintf(w, "%s %s of %s, %v", r.Host, a.Program, a.Tenant, ok)
	case "/big":
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<20))
	case "/length":
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%d bytes, %v", n, err)
	case "/panic":
		panic("a handler's own")
	case "/abort":
		panic(http.ErrAbortHandler)
	default:
		http.NotFound(w, r)
	}
}

// TestAsk has an unmodified program ask by http.DefaultClient: absolute-form, by name, and directly; large answers, and a body.
func TestAsk(t *testing.T) {
	onWays(t, func(t *testing.T, kind backend.Kind, env []string) {
		h := running(t, Options{Machine: kind, Gate: http.HandlerFunc(shop)})
		deploy(t, h, asking(t, env...))
		for range 3 { // the machine is taken back between
			mustGet(t, h, "asker", "/ask?url=http://shop.example/who&url=http://kv/who", "200 shop.example asker of acme, true\n200 kv asker of acme, true\n")
			mustGet(t, h, "asker", "/ask?url=http://edge/big&url=http://edge/big", strings.Repeat("200 1048576 bytes, 1048576 of them x\n", 2))
			mustGet(t, h, "asker", "/post?n=1000000&url=http://edge/length", "200 1000000 bytes, <nil>")
			mustGet(t, h, "asker", "/ask?url=http://edge/nothing", "404 404 page not found\n")
		}
		deploy(t, h, asking(t, append([]string{"HTTP_PROXY="}, env...)...)) // names are found without a proxy
		mustGet(t, h, "asker", "/ask?url=http://edge/who&url=http://kv/who", "200 edge asker of acme, true\n200 kv asker of acme, true\n")
		if n := leftConnections(h); n != 0 {
			t.Errorf("%d connections are left when no call is under way", n)
		}
	})
}

// leftConnections is how many connections to the gate the server has, once no instance is busy.
func leftConnections(h *Host) (n int64) {
	quiet(h)
	for wait := time.Now().Add(10 * time.Second); time.Now().Before(wait); runtime.Gosched() {
		if n = h.gates.count.Load(); n == 0 {
			break
		}
	}
	return n
}

// TestAskNobody has no gate: connections are refused, and there is no proxy in the environment.
func TestAskNobody(t *testing.T) {
	onWays(t, func(t *testing.T, kind backend.Kind, env []string) {
		h := running(t, Options{Machine: kind})
		deploy(t, h, asking(t, env...))
		got, err := get(h, "asker", "/ask?url=http://10.0.0.1/")
		if err != nil || !strings.Contains(got, "connection refused") {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestSubrequests counts what a call asks, each for itself.
func TestSubrequests(t *testing.T) {
	onWays(t, func(t *testing.T, kind backend.Kind, env []string) {
		h := running(t, Options{Machine: kind, Gate: http.HandlerFunc(shop)})
		p := asking(t, env...)
		p.Limits.Subrequests = 3
		deploy(t, h, p)
		for range 2 {
			mustGet(t, h, "asker", "/many?n=5&url=http://edge/who", "map[200:3 429:2]")
		}
		mustGet(t, h, "asker", "/many?n=3&url=http://edge/who", "map[200:3]")
		if n := quiet(h)["asker"].Errors["subrequests"]; n != 2 {
			t.Errorf("%d calls are counted that passed the limit, want 2", n)
		}
		p.Limits.Subrequests = -1
		deploy(t, h, p)
		if got, err := get(h, "asker", "/ask?url=http://10.0.0.1/"); err != nil || !strings.Contains(got, "connection refused") {
			t.Errorf("with none allowed: %q, %v", got, err)
		}
	})
}

// TestGateLimits has a response, a body and a header section that are too large, a tunnel, and a handler that panics: it is that call's alone.
func TestGateLimits(t *testing.T) {
	onWays(t, func(t *testing.T, kind backend.Kind, env []string) {
		h := running(t, Options{Machine: kind, Gate: http.HandlerFunc(shop)})
		p := asking(t, env...)
		p.Limits.Output, p.Limits.Input = 1<<20+100_000, 100_000
		deploy(t, h, p)
		for path, want := range map[string]string{
			"/ask?url=http://edge/big&url=http://edge/big":                                 "200 1048576 bytes, 1048576 of them x\n|EOF",
			"/post?n=200000&url=http://edge/length":                                        "413 ",
			"/ask?url=http://edge/panic&url=http://edge/who":                               "EOF\n200 edge",
			"/ask?url=http://edge/abort&url=http://edge/who":                               "EOF\n200 edge",
			"/ask?url=https://edge/who&url=http://edge/who":                                "200 edge",
			"/ask?url=http://edge/" + strings.Repeat("x", 40_000) + "&url=http://edge/who": "200 edge", // 431, or an error of writing it
		} {
			got, err := get(h, "asker", path)
			for part := range strings.SplitSeq(want, "|") {
				if err != nil || !strings.Contains(got, part) {
					t.Errorf("%.60s: %.200q, %v; want %q in it", path, got, err, part)
				}
			}
		}
	})
}

// TestSilentHandler has a handler never answer: the call ends by its limit and held no worker, and the handler learns of it.
func TestSilentHandler(t *testing.T) {
	onWays(t, func(t *testing.T, kind backend.Kind, env []string) {
		began, ended := make(chan struct{}, 100), make(chan error, 100)
		h := running(t, Options{Machine: kind, Gate: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/silent" {
				shop(w, r)
				return
			}
			began <- struct{}{}
			<-r.Context().Done()
			ended <- context.Cause(r.Context())
		})})
		p := asking(t, env...)
		p.Limits.Wall = 5 * time.Second
		deploy(t, h, p)
		var silent sync.WaitGroup
		over := make(chan struct{}, 2*h.workers)
		for range 2 * h.workers {
			silent.Go(func() {
				defer func() { over <- struct{}{} }()
				_, err := get(h, "asker", "/ask?url=http://edge/silent")
				var l *LimitError
				if !errors.As(err, &l) || l.Limit != "wall" {
					t.Errorf("a call whose handler never answers: %v", err)
				}
			})
		}
		asked := 0
		for range 2 * h.workers {
			select {
			case <-began:
				asked++
			case <-over: // on a slow machine its time was over before it asked
			}
		}
		mustGet(t, h, "asker", "/ask?url=http://edge/who", "200 edge asker of acme, true\n")
		mustGet(t, h, "asker", "/sleep", "slept")
		silent.Wait()
		for range asked {
			<-ended
		}
		p.Limits.Wall = time.Minute
		deploy(t, h, p)

		ctx, leave := context.WithCancel(t.Context())
		go func() {
			<-began
			leave()
		}()
		_, err := send(h, "asker", httptest.NewRequest(http.MethodGet, "http://shop.example/ask?url=http://edge/silent", nil).WithContext(ctx))
		var f *fault.Error
		if !errors.As(err, &f) || f.Party != fault.Client {
			t.Errorf("when the client left: %v", err)
		}
		<-ended
		if n := leftConnections(h); n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// TestOneWorker has a program wait for the gate, and sleep, while the only worker there is answers others.
func TestOneWorker(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	onWays(t, func(t *testing.T, kind backend.Kind, env []string) {
		answer := make(chan struct{})
		h := running(t, Options{Machine: kind, Gate: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				<-answer
			}
			shop(w, r)
		})})
		deploy(t, h, asking(t, env...))
		var waiting sync.WaitGroup
		for range 3 {
			waiting.Go(func() { mustGet(t, h, "asker", "/ask?url=http://edge/wait", "404 404 page not found\n") })
		}
		for n := 0; n < 3; runtime.Gosched() {
			h.mu.Lock()
			n = len(h.parked)
			h.mu.Unlock()
		}
		mustGet(t, h, "asker", "/ask?url=http://edge/who", "200 edge asker of acme, true\n")
		close(answer)
		waiting.Wait()
	})
}

// TestAskTogether has a hundred calls ask at the same time, and one call ask many times at once.
func TestAskTogether(t *testing.T) {
	onWays(t, func(t *testing.T, kind backend.Kind, env []string) {
		var values atomic.Int64
		type key struct{}
		h := running(t, Options{Machine: kind, Gate: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a, _ := AskerOf(r.Context())
			values.Add(int64(a.Call.Value(key{}).(int)))
			shop(w, r)
		})})
		deploy(t, h, asking(t, env...))
		var all sync.WaitGroup
		for n := range 100 {
			all.Go(func() {
				r := httptest.NewRequest(http.MethodGet, "http://shop.example/ask?url=http://edge/who&url=http://edge/who", nil)
				got, err := send(h, "asker", r.WithContext(context.WithValue(r.Context(), key{}, n)))
				if err != nil || got != strings.Repeat("200 edge asker of acme, true\n", 2) {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
		all.Wait()
		if values.Load() != 2*99*100/2 {
			t.Errorf("handlers saw the values of other calls: %d", values.Load())
		}
		r := httptest.NewRequest(http.MethodGet, "http://shop.example/parallel?n=16&url="+url.QueryEscape("http://edge/who"), nil)
		got, err := send(h, "asker", r.WithContext(context.WithValue(r.Context(), key{}, 0)))
		if want := strings.TrimSuffix(strings.Repeat("200 edge asker of acme, true,", 16), ","); err != nil || got != want {
			t.Errorf("%q, %v", got, err)
		}
	})
}

// TestAskBetweenCalls has a program that remembers ask in the background: its connection ends with the call, and the next call asks anew.
func TestAskBetweenCalls(t *testing.T) {
	onWays(t, func(t *testing.T, kind backend.Kind, env []string) {
		ended := make(chan struct{}, 10)
		h := running(t, Options{Machine: kind, Gate: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/silent" {
				<-r.Context().Done()
				ended <- struct{}{}
				return
			}
			shop(w, r)
		})})
		p := asking(t, env...)
		p.Isolation = PerInstance
		deploy(t, h, p)
		for range 3 {
			mustGet(t, h, "asker", "/leave?path=/silent", "left")
			<-ended
			if n := leftConnections(h); n != 0 {
				t.Errorf("%d connections are left", n)
			}
			mustGet(t, h, "asker", "/ask?url=http://edge/who", "200 edge asker of acme, true\n")
		}
	})
}

// TestHostileAskers open connections without end, send what is no request, or half of one: it harms their own call.
func TestHostileAskers(t *testing.T) {
	onWays(t, func(t *testing.T, kind backend.Kind, env []string) {
		var asked atomic.Int64
		h := running(t, Options{Machine: kind, Gate: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			shop(w, r)
		})})
		deploy(t, h, asking(t, env...))
		for how, want := range map[string]string{"close": "refused", "keep": "refused", "garbage": "refused", "half": "refused", "head": "refused"} {
			mustGet(t, h, "asker", "/hostile?n=10000&how="+how, want)
			mustGet(t, h, "asker", "/ask?url=http://edge/who", "200 edge asker of acme, true\n")
		}
		if n := leftConnections(h); n != 0 {
			t.Errorf("%d connections are left", n)
		}
		if n := asked.Load(); n > 5+5*48 {
			t.Errorf("the handler was asked %d times", n)
		}
	})
}
