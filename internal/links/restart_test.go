package links

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/config"
)

// origin answers as answers does, and counts.
type origin struct{ asked int }

func (o *origin) RoundTrip(r *http.Request) (*http.Response, error) {
	o.asked++
	w := httptest.NewRecorder()
	answers(w, r)
	return w.Result(), nil
}

// answers with the path that was asked for.
var answers http.HandlerFunc = func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }

// get asks for a path of the site by way of the parent, or else of the origin, and returns how long the answer took.
func (p *places) get(t *testing.T, from config.NodeID, o *origin, path string) (time.Duration, error) {
	t.Helper()
	began := time.Now()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://shop.test"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := p.links[from].Upstream("shop", o).RoundTrip(r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && string(b) != path {
		t.Errorf("%q came for %q", b, path)
	}
	return time.Since(began), err
}

// A node that was started anew asks one that it knows: the answer is there a round trip earlier than the first one ever was.
func TestTheFirstRequestAfterARestartTakesOneRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlaces(t, "lisbon", "osaka")
		p.path("lisbon", "osaka", 100*time.Millisecond)
		p.stops["osaka"]()
		p.start(t, "osaka", answers)
		var o origin
		first, err := p.get(t, "lisbon", &o, "/first")
		if err != nil || first < 400*time.Millisecond || first > 430*time.Millisecond {
			t.Errorf("%v, %v; two round trips are 400 ms", first, err)
		}
		time.Sleep(5 * time.Second)
		p.stops["lisbon"]()
		time.Sleep(time.Second)
		p.start(t, "lisbon", answers)
		again, err := p.get(t, "lisbon", &o, "/again")
		if err != nil || again < 200*time.Millisecond || again > 215*time.Millisecond {
			t.Errorf("%v, %v; a round trip is 200 ms", again, err)
		}
		time.Sleep(time.Second)
		if h := p.links["osaka"].endpoint.Handshakes(); h.Early != 1 || o.asked != 0 {
			t.Errorf("osaka counts %+v, the origin %d requests", h, o.asked)
		}
	})
}

// A parent is started anew while it is asked, without a farewell or with one: every request of the others is answered, and none waits for a timeout.
func TestNoRequestFailsWhenAParentIsStartedAnew(t *testing.T) {
	for _, farewell := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlaces(t, "lisbon", "osaka")
			p.path("lisbon", "osaka", 50*time.Millisecond)
			p.stops["osaka"]()
			p.start(t, "osaka", answers)
			var o origin
			if _, err := p.get(t, "lisbon", &o, "/before"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(7 * time.Second)
			for i := range 5 {
				if !farewell {
					p.hosts["osaka"].Blackhole()
				}
				p.stops["osaka"]()
				p.hosts["osaka"].Heal()
				p.start(t, "osaka", answers)
				took, err := p.get(t, "lisbon", &o, "/after"+strings.Repeat("x", i))
				if err != nil || took > 600*time.Millisecond {
					t.Errorf("farewell %v: %v, %v", farewell, took, err)
				}
				time.Sleep(11 * time.Second)
			}
			if !farewell && o.asked > 0 {
				t.Errorf("%d requests went to the origin, though the parent was there again", o.asked)
			}
		})
	}
}
