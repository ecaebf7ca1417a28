package origin

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/fault"
)

// TestRetryMatrix says for each method and each way to fail whether another origin is asked.
func TestRetryMatrix(t *testing.T) {
	failures := map[string]outcome{
		"refused":  {err: originFault("connect", 502, "connection_refused", nil)},
		"full":     {err: limitReached(nil)},
		"reset":    {err: originFault("read header", 502, "connection_terminated", nil), sent: true},
		"timeout":  {err: originFault("read header", 504, "http_response_timeout", nil), sent: true},
		"garbage":  {err: originFault("read header", 502, "http_protocol_error", nil), sent: true},
		"502":      {status: 502},
		"503":      {status: 503},
		"504":      {status: 504},
		"500":      {status: 500},
		"404":      {status: 404},
		"200":      {status: 200},
		"left":     {err: fault.New(fault.Client, "read header", 499, nil), sent: true},
		"badbody":  {err: fault.New(fault.Client, "read request", 400, nil), sent: true},
		"deadline": {err: &fault.Error{Party: fault.Origin, Op: "read header", Status: 504}, sent: true},
	}
	tests := []struct{ methods, repeated string }{
		{"GET HEAD", "refused full reset timeout garbage 502 503 504"},
		{"PUT DELETE OPTIONS TRACE", "refused full reset timeout garbage"},
		{"POST PATCH QUERY get", "refused full"},
	}
	for _, tt := range tests {
		for method := range strings.FieldsSeq(tt.methods) {
			for name, o := range failures {
				o.method, o.attempts, o.retriesMax, o.otherAny, o.otherHealthy = method, 1, 2, true, true
				want := strings.Contains(" "+tt.repeated+" ", " "+name+" ")
				if again, why := o.retry(); again != want || again && why == "" {
					t.Errorf("%s after %s: %v (%s), want %v", method, name, again, why, want)
				}
				o.attempts = 3
				if again, why := o.retry(); again {
					t.Errorf("%s after %s and 3 attempts: %s", method, name, why)
				}
				o.attempts, o.otherAny, o.otherHealthy = 1, false, false
				if again, why := o.retry(); again {
					t.Errorf("%s after %s and no other origin: %s", method, name, why)
				}
				o.otherAny = true
				if again, _ := o.retry(); again != (want && o.err != nil) {
					t.Errorf("%s after %s and no other healthy origin: %v", method, name, again)
				}
			}
		}
	}
}

// TestRetriesEndToEnd sends requests through origins that fail in one way and one that's good, named by their first letters:
// n nobody listens, r resets after the header, b breaks after reading the body, 5 answers 503, g is good.
func TestRetriesEndToEnd(t *testing.T) {
	tests := []struct {
		name, origins, method, body string
		status                      int // of the response; negative of the fault
		asked                       string
	}{
		{"refused", "ng", "GET", "", 200, "g"},
		{"refused, with a whole body", "ng", "POST", "body", 200, "g"},
		{"reset", "rg", "GET", "", 200, "rg"},
		{"reset, not idempotent", "rg", "POST", "", -502, "r"},
		{"reset, body gone", "bg", "PUT", "body", -502, "b"},
		{"503", "5g", "GET", "", 200, "5g"},
		{"503 to a POST is an answer", "5g", "POST", "", 503, "5"},
		{"503 of all", "55", "GET", "", 503, "55"},
		{"503, then nothing better", "5r", "GET", "", 503, "5r"},
		{"503, refused, good", "5ng", "GET", "", 200, "5g"},
		{"all refused", "nn", "GET", "", -502, ""},
		{"two retries are the limit", "rrrg", "GET", "", -502, "rrr"},
		{"the backup", "r5G", "GET", "", 200, "r5g"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				asked := ""
				var urls []string
				for i, kind := range tt.origins {
					host := string(rune('a'+i)) + ".test"
					if kind == 'G' {
						urls = append(urls, "http://"+host+" backup")
						kind = 'g'
					} else {
						urls = append(urls, "http://"+host)
					}
					behave(t, m, host+":80", kind, &asked)
				}
				p := poolsOf(t, m, siteOf(t, defaults(), urls...))
				var body io.Reader
				if tt.body != "" {
					body = strings.NewReader(tt.body)
				}
				status, got, err := do(t, p, newRequest(t, tt.method, "/", body))
				if err != nil {
					status = -err.Status
				}
				if status != tt.status || asked != tt.asked || status == 200 && got != "good "+tt.body {
					t.Errorf("status %d %q of %q (%v), want %d of %q", status, got, asked, err, tt.status, tt.asked)
				}
				if n := inFlight(p); n != 0 {
					t.Errorf("%d requests in flight after the end", n)
				}
			})
		})
	}
}

func behave(t testing.TB, m *memory, addr string, kind rune, asked *string) {
	t.Helper()
	switch kind {
	case 'r':
		m.raw(t, addr, func(conn net.Conn) {
			readHeader(conn)
			*asked += "r"
		})
	case 'n':
	default:
		m.serve(t, addr, func(w http.ResponseWriter, r *http.Request) {
			*asked += string(kind)
			switch kind {
			case '5':
				w.WriteHeader(503)
				_, _ = io.WriteString(w, "busy")
			case 'b':
				_, _ = io.Copy(io.Discard, r.Body)
				panic(http.ErrAbortHandler)
			case 'g':
				b, _ := io.ReadAll(r.Body)
				_, _ = io.WriteString(w, "good "+string(b))
			}
		})
	}
}

// TestPassiveHealth takes an origin away, and gives it back.
func TestPassiveHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		good := func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Host) }
		m.serve(t, "b.test:80", good)
		limits := defaults()
		limits.Host = "origin"
		p := poolsOf(t, m, siteOf(t, limits, "http://a.test", "http://b.test"))
		for range 20 {
			if status, _, err := get(t, p, "/"); status != 200 {
				t.Fatalf("a failing origin was noticed: %v", err)
			}
		}
		if n := m.dialCount(); n != failuresMax+1 {
			t.Errorf("%d connections, want %d to the one that refuses and one to the other", n, failuresMax)
		}
		s := p.Status()
		if s[0].Healthy || !s[1].Healthy || !strings.Contains(s[0].LastError, "refused") || s[0].Since.IsZero() {
			t.Errorf("status %+v", s)
		}

		m.serve(t, "a.test:80", good)
		seen := map[string]int{}
		count := func() {
			for range 10 {
				_, body, _ := get(t, p, "/")
				seen[body]++
			}
		}
		count()
		if seen["a.test"] != 0 {
			t.Errorf("asked %v before the back-off ended", seen)
		}
		time.Sleep(backoffMin)
		count()
		if seen["a.test"] < 4 || !p.Status()[0].Healthy {
			t.Errorf("asked %v after it", seen)
		}
	})
}

// TestOneOriginIsAskedAnyway checks that a site with one origin isn't cut off from it.
func TestOneOriginIsAskedAnyway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		p := poolsOf(t, m, siteOf(t, defaults(), "http://a.test"))
		for range failuresMax + 2 {
			_, _, err := get(t, p, "/")
			if err == nil || err.Op != "connect" || err.Status != 502 || err.Proxy != "connection_refused" || !err.Retry {
				t.Errorf("got %+v", err)
			}
		}
		m.serve(t, "a.test:80", func(http.ResponseWriter, *http.Request) {})
		if status, _, err := get(t, p, "/"); status != 200 || !p.Status()[0].Healthy {
			t.Errorf("it came back, but: %v", err)
		}
	})
}

// TestWhatConnectFailuresAreCalled maps what dialing can say to RFC 9209's words.
func TestWhatConnectFailuresAreCalled(t *testing.T) {
	tests := []struct {
		err    error
		status int
		proxy  string
	}{
		{&net.DNSError{Err: "no such host", IsNotFound: true}, 502, "dns_error"},
		{&net.DNSError{Err: "i/o timeout", IsTimeout: true}, 504, "dns_timeout"},
		{&url.Error{Err: io.ErrUnexpectedEOF}, 503, "destination_unavailable"},
	}
	for _, tt := range tests {
		e := connectFault(&dialError{tt.err})
		if e.Op != "connect" || e.Status != tt.status || e.Proxy != tt.proxy {
			t.Errorf("%v: %+v", tt.err, e)
		}
	}
}
