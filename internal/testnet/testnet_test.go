package testnet

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/internal/simnet"
)

// twoClusters is a network that serves shop.test from the origin host "shop-origin".
const twoClusters = `
clusters:
  - {name: lisbon, prefixes: [198.51.100.0/24], nodes: [{name: lisbon-1, addresses: [192.0.2.1]}]}
  - {name: osaka, prefixes: [203.0.113.0/24], nodes: [{name: osaka-1, addresses: [192.0.2.2]}]}
sites:
  - name: shop
    hosts: [shop.test]
    origins: [{url: "http://shop-origin"}]
`

var (
	lisbonAddr = netip.MustParseAddr("192.0.2.1")
	osakaAddr  = netip.MustParseAddr("192.0.2.2")
)

// origin counts what it is asked.
type origin struct {
	asked atomic.Int64
	reply func(w http.ResponseWriter, r *http.Request)
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.asked.Add(1)
	o.reply(w, r)
}

func fresh(seconds string, body string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", seconds)
		_, _ = io.WriteString(w, body)
	}
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// waitFor polls a condition in the bubble's time and returns how long it took.
func waitFor(t *testing.T, within time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > within {
			t.Fatalf("%s: not within %s", what, within)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

func TestAnEdgeThatDiesLeavesTheAnswersAndComesBack(t *testing.T) {
	for _, death := range []string{"killed", "black hole"} {
		t.Run(death, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &origin{reply: fresh("max-age=60", "hello")}
				n := Start(t, twoClusters, map[string]http.Handler{"shop-origin": o})
				client := n.ClientHost("client", "198.51.100.7")
				answers := func() []netip.Addr {
					addrs, err := n.LookupA(client, "shop.test")
					if err != nil {
						t.Fatal(err)
					}
					return addrs
				}
				synctest.Wait()
				if got := answers(); len(got) == 0 || got[0] != lisbonAddr {
					t.Fatalf("a client of lisbon's prefix gets %v, want %v first", got, lisbonAddr)
				}
				time.Sleep(3 * time.Second)

				host := n.Host("lisbon-1")
				if death == "killed" {
					n.Kill("lisbon-1")
				} else {
					host.Blackhole()
				}
				took := waitFor(t, 2*time.Second, "leave the answers", func() bool { return !slices.Contains(answers(), lisbonAddr) })
				t.Logf("left the answers after %s", took)
				if got := answers(); !slices.Contains(got, osakaAddr) {
					t.Fatalf("without lisbon the answer is %v, want osaka's %v", got, osakaAddr)
				}

				if death == "killed" {
					n.Restart("lisbon-1")
				} else {
					host.Heal()
				}
				took = waitFor(t, 5*time.Second, "come back", func() bool { got := answers(); return len(got) > 0 && got[0] == lisbonAddr })
				t.Logf("came back after %s", took)
			})
		})
	}
}

func TestManyClientsOfAFarOriginMakeOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{reply: fresh("max-age=60", strings.Repeat("x", 100_000))}
		n := Start(t, twoClusters, map[string]http.Handler{"shop-origin": o})
		n.Sim.SetLink(n.Host("lisbon-1"), n.Host("shop-origin"), simnet.Link{Latency: 120 * time.Millisecond, Loss: 0.01})
		const clients = 40
		var all sync.WaitGroup
		for i := range clients {
			c := n.Client(n.ClientHost(fmt.Sprint("client", i), fmt.Sprint("198.51.100.", i+1)), "lisbon-1")
			all.Go(func() {
				resp, body := get(t, c, "http://shop.test/big")
				if resp.StatusCode != http.StatusOK || len(body) != 100_000 {
					t.Errorf("status %d, %d bytes", resp.StatusCode, len(body))
				}
			})
		}
		all.Wait()
		if got := o.asked.Load(); got != 1 {
			t.Errorf("%d clients made %d fetches, want 1", clients, got)
		}
	})
}

func TestADeadOriginIsCoveredAsFarAsItAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{reply: fresh("max-age=10, stale-if-error=60", "hello")}
		n := Start(t, twoClusters, map[string]http.Handler{"shop-origin": o})
		c := n.Client(n.ClientHost("client", "198.51.100.7"), "lisbon-1")
		get(t, c, "http://shop.test/")
		n.Host("shop-origin").Kill()

		time.Sleep(30 * time.Second)
		resp, body := get(t, c, "http://shop.test/")
		if resp.StatusCode != http.StatusOK || body != "hello" {
			t.Errorf("20 s stale: status %d %q, want the stale response", resp.StatusCode, body)
		}
		if got := resp.Header.Get("Cache-Status"); !strings.Contains(got, "stale-if-error") {
			t.Errorf("Cache-Status %q doesn't tell why a stale response came", got)
		}

		time.Sleep(60 * time.Second)
		resp, body = get(t, c, "http://shop.test/")
		if resp.StatusCode != http.StatusBadGateway || !strings.Contains(body, "origin of this site") {
			t.Errorf("80 s stale: status %d %q, want an error page that names the origin", resp.StatusCode, body)
		}
	})
}

func TestASilentOriginTimesOutInItsPhase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{reply: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }}
		yaml := strings.Replace(twoClusters, `origins:`, "fetch: {header_timeout: 7s, retries: 0}\n    origins:", 1)
		n := Start(t, yaml, map[string]http.Handler{"shop-origin": o})
		c := n.Client(n.ClientHost("client", "198.51.100.7"), "osaka-1")
		began := time.Now()
		resp, _ := get(t, c, "http://shop.test/")
		if resp.StatusCode != http.StatusGatewayTimeout {
			t.Errorf("status %d, want 504", resp.StatusCode)
		}
		if took := time.Since(began); took < 7*time.Second || took > 8*time.Second {
			t.Errorf("answered after %s, want fetch.header_timeout, 7s", took)
		}
		if got := resp.Header.Get("Proxy-Status"); !strings.Contains(got, "osaka-1") {
			t.Errorf("Proxy-Status %q doesn't name the node", got)
		}
	})
}

func TestRestartedNodeBeginsEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{reply: fresh("max-age=600", "hello")}
		n := Start(t, twoClusters, map[string]http.Handler{"shop-origin": o})
		ask := func() string {
			resp, _ := get(t, n.Client(n.ClientHost(fmt.Sprint("client at ", time.Now().UnixNano()), "198.51.100."+fmt.Sprint(o.asked.Load()+100)), config.NodeID("lisbon-1")), "http://shop.test/")
			return resp.Header.Get("Cache-Status")
		}
		ask()
		n.Kill("lisbon-1")
		n.Restart("lisbon-1")
		if got := ask(); !strings.Contains(got, "fwd=uri-miss") {
			t.Errorf("after a restart: %q, want a miss", got)
		}
		if o.asked.Load() != 2 {
			t.Errorf("the origin was asked %d times, want 2", o.asked.Load())
		}
	})
}

// TestAPostInvalidatesWhatAnotherRuleStored: the POST's own rule gives it another cache key than the GET has (RFC 9111 §4.4).
func TestAPostInvalidatesWhatAnotherRuleStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{reply: fresh("max-age=600", "hello")}
		yaml := twoClusters + `    rules: [{name: writes, match: {methods: [POST]}, cache: {enabled: false, key: {query: drop}}}]`
		n := Start(t, yaml, map[string]http.Handler{"shop-origin": o})
		c := n.Client(n.ClientHost("client", "198.51.100.7"), "lisbon-1")
		get(t, c, "http://shop.test/cart?id=1")
		resp, err := c.Post("http://shop.test/cart?id=1", "text/plain", strings.NewReader("one more"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		resp, _ = get(t, c, "http://shop.test/cart?id=1")
		if got := resp.Header.Get("Cache-Status"); !strings.Contains(got, "fwd=uri-miss") {
			t.Errorf("after the POST: %q, want a miss", got)
		}
	})
}
