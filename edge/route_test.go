package edge

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/fault"
)

// A connection that was opened for one site must not reach another through its Host.
func TestSNIAndHost(t *testing.T) {
	n := start(t, nodeOptions{yaml: `sites:
- {name: shop, hosts: [shop.test, www.shop.test], origins: [{url: "http://127.0.0.1:9000"}]}
- {name: bank, hosts: [bank.test], origins: [{url: "http://127.0.0.1:9001"}]}`})
	for _, test := range []struct {
		sni, host string
		status    int
	}{
		{"shop.test", "shop.test", 200},
		{"shop.test", "www.shop.test:8443", 200},
		{"", "bank.test", 200},
		{"shop.test", "bank.test", 421},
		{"nobody.test", "bank.test", 421},
		{"shop.test", "nobody.test", 421},
	} {
		c := client(t, n.https, func(tr *http.Transport) { tr.TLSClientConfig.ServerName = test.sni })
		url := "https://" + test.sni + "/"
		if test.sni == "" {
			url = "https://127.0.0.1/" // an address is never sent as a name
		}
		r, err := http.NewRequest(http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = test.host
		resp, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != test.status {
			t.Errorf("SNI %q, Host %q: status %d, want %d", test.sni, test.host, resp.StatusCode, test.status)
		}
		c.CloseIdleConnections()
	}
}

func TestRules(t *testing.T) {
	const yaml = `
sites:
- name: shop
  hosts: [shop.test]
  origins: [{url: "http://127.0.0.1:9000"}]
  rules:
  - {name: secret, match: {paths: ["/secret/*"]}, refuse: 404}
  - {name: live, match: {paths: ["/live"]}, cache: {enabled: false}}
  - {name: images, match: {paths: ["*.jpg"]}, cache: {key: {host: false, query: drop}, stale_if_error: 1h}}`
	policies := make(chan cache.Policy, 1)
	n := start(t, nodeOptions{yaml: yaml, cache: func(w http.ResponseWriter, _ *http.Request, p *cache.Policy) cache.Outcome {
		policies <- *p
		w.WriteHeader(204)
		return cache.Outcome{Verdict: cache.Hit, Status: 204}
	}})
	ask := func(path string) *http.Response {
		resp, _ := n.ask("GET " + path + " HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		return resp
	}
	if resp := ask("/secret/x"); resp.StatusCode != 404 || n.refusals(refusedRule) != 1 {
		t.Errorf("refused path: status %d", resp.StatusCode)
	}
	ask("/live")
	if p := <-policies; p.Bypass != "rule live" {
		t.Errorf("bypass is %q", p.Bypass)
	}
	ask("/a.jpg?x")
	p := <-policies
	if p.Bypass != "" || p.StaleIfError != time.Hour || !p.Keys.IgnoreHost || !p.Keys.DropQuery || p.Host != "shop.test" || p.Scheme != "http" {
		t.Errorf("policy %+v", p)
	}
	got := map[any]any{}
	for _, record := range n.records() {
		got[record["path"]] = record["rule"]
	}
	if got["/secret/x"] != "secret" || got["/live"] != "live" || got["/a.jpg"] != "images" {
		t.Errorf("rules in the log: %v", got)
	}
}

// A rule's program answers in place of the origins, what switches protocols included; what it is to blame for, clients are told in its words.
func TestRulesProgram(t *testing.T) {
	failed := &fault.Error{Party: fault.Origin, Op: "run program", Status: 504, Proxy: "http_response_timeout", Notice: "The program hello passed its limit."}
	n := start(t, nodeOptions{
		yaml: `
programs: {hello: {image: ./hello}}
sites:
- name: shop
  hosts: [shop.test]
  origins: [{url: "http://127.0.0.1:9000"}]
  rules: [{name: hello, match: {paths: ["/hello/*"]}, program: hello}]`,
		upstream: func(*http.Request) (*http.Response, error) { return respond(200, "the origin"), nil },
		program: roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Path == "/hello/late" {
				return nil, failed
			}
			return respond(200, "the program"), nil
		}),
	})
	for _, tt := range []struct{ path, fields, want string }{
		{"/", "", "the origin"},
		{"/hello/", "", "the program"},
		{"/hello/", "Connection: Upgrade\r\nUpgrade: websocket\r\n", "the program"},
		{"/hello/late", "", "The program hello passed its limit."},
	} {
		resp, body := n.ask("GET " + tt.path + " HTTP/1.1\r\nHost: shop.test\r\n" + tt.fields + "\r\n")
		if !strings.Contains(body, tt.want) {
			t.Errorf("%s %q: %q, want %q", tt.path, tt.fields, body, tt.want)
		}
		if late := tt.path == "/hello/late"; late && (resp.StatusCode != 504 || resp.Header.Get("Proxy-Status") != "lisbon-1; error=http_response_timeout") {
			t.Errorf("%d, %v", resp.StatusCode, resp.Header)
		}
	}
}

func TestSetSnapshotForRequestsToCome(t *testing.T) {
	asked, goOn := make(chan struct{}), make(chan struct{})
	n := start(t, nodeOptions{upstream: func(*http.Request) (*http.Response, error) {
		close(asked)
		<-goOn
		return respond(200, ""), nil
	}})
	w := n.dial()
	w.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	<-asked
	n.SetSnapshot(parse(t, strings.ReplaceAll(shopYAML, "shop", "bank")))
	if resp, _ := n.ask("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"); resp.StatusCode != 421 {
		t.Errorf("a removed site answers %d", resp.StatusCode)
	}
	close(goOn)
	if resp, _ := w.response(http.MethodGet); resp.StatusCode != 200 {
		t.Errorf("the request under way got %d", resp.StatusCode)
	}
}
