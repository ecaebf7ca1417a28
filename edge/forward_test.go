package edge

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/trace"
)

func TestFieldsForTheOrigin(t *testing.T) {
	const yaml = `sites:
- {name: shop, hosts: [shop.test], origins: [{url: "http://127.0.0.1:9000"}]}
- {name: shared, hosts: ["*.shared.test"], origins: [{url: "http://127.0.0.1:9000"}], fetch: {host: origin}, cache: {key: {host: false}}}
- name: blog
  hosts: [blog.test, "*.blog.test"]
  origins: [{url: "http://127.0.0.1:9000"}]
  aliases: [{host: blog.test, names: [www.blog.test]}]`
	for _, test := range []struct {
		name, host, fields string
		want               map[string]string // "" means absent
	}{
		{"nothing sent", "Shop.test:80", "", map[string]string{
			"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "Shop.test:80", "Cdn-Loop": "lisbon-1",
			"Forwarded": "",
		}},
		{
			"forged", "shop.test",
			"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nForwarded: for=6.6.6.6\r\n" +
				"X-Real-IP: 6.6.6.6\r\nTrue-Client-IP: 6.6.6.6\r\nWherry-Request-Id: mine\r\n",
			map[string]string{
				"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "shop.test", "X-Forwarded-Port": "",
				"Forwarded": "", "X-Real-Ip": "", "True-Client-Ip": "",
			},
		},
		{
			"forged with underscores", "shop.test",
			"X_Forwarded_For: 6.6.6.6\r\nx-forwarded_host: evil\r\nTransfer_Encoding: chunked\r\nContent_Length: 9\r\nWherry_Request_Id: mine\r\n" +
				"X_HTTP_Method_Override: DELETE\r\nMy_Field: 1\r\n",
			map[string]string{
				"X-Forwarded-For": "127.0.0.1", "X_forwarded_for": "", "X-Forwarded_host": "", "Transfer_encoding": "", "Content_length": "",
				"Wherry_request_id": "", "X_http_method_override": "", "My_field": "1",
			},
		},
		{
			"another host, path or method", "shop.test",
			"X-Host: evil\r\nX-Original-Host: evil\r\nX-HTTP-Host-Override: evil\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\n" +
				"X-HTTP-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\nX-Method-Override: DELETE\r\nFront-End-Https: on\r\n",
			map[string]string{
				"X-Host": "", "X-Original-Host": "", "X-Http-Host-Override": "", "X-Original-Url": "", "X-Rewrite-Url": "",
				"X-Http-Method-Override": "", "X-Http-Method": "", "X-Method-Override": "", "Front-End-Https": "",
			},
		},
		{
			"Connection names fields", "shop.test",
			"Connection: close, X-Foo, X-Forwarded-For, CDN-Loop\r\nX-Foo: 1\r\nX-Bar: 2\r\nCDN-Loop: other\r\n",
			map[string]string{
				"X-Foo": "", "X-Bar": "2", "Connection": "", "X-Forwarded-For": "127.0.0.1", "Cdn-Loop": "other|lisbon-1",
			},
		},
		{"shared copy", "a.shared.test", "X-Forwarded-Host: a.shared.test\r\nX-Host: evil\r\nX-Original-Host: evil\r\n", map[string]string{
			"X-Forwarded-Host": "", "X-Host": "", "X-Original-Host": "", "X-Forwarded-For": "127.0.0.1",
		}},
		{"an alias", "WWW.blog.test:8080", "X-Forwarded-Host: www.blog.test\r\n", map[string]string{"X-Forwarded-Host": "blog.test"}},
		{"no alias", "a.blog.test:8080", "", map[string]string{"X-Forwarded-Host": "a.blog.test:8080"}},
		{"h2c upgrade", "shop.test", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", map[string]string{
			"Upgrade": "", "Http2-Settings": "", "Connection": "",
		}},
		{"wrong trace", "shop.test", "Wherry-Trace: id.1.mac\r\n", map[string]string{"Wherry-Trace": ""}},
		{"right trace", "shop.test", "Wherry-Trace: " + trace.Credential(testToken, "t1", time.Now()) + "\r\n", map[string]string{
			"Wherry-Trace": "",
		}},
	} {
		got := make(chan *http.Request, 1)
		n := start(t, nodeOptions{yaml: yaml, upstream: func(r *http.Request) (*http.Response, error) {
			got <- r
			return respond(200, ""), nil
		}})
		resp, _ := n.ask("GET /a%2Fb?c HTTP/1.1\r\nHost: " + test.host + "\r\n" + test.fields + "\r\n")
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", test.name, resp.StatusCode)
			continue
		}
		r := <-got
		for name, want := range test.want {
			if have := strings.Join(r.Header[name], "|"); have != want {
				t.Errorf("%s: %s is %q at the origin, want %q", test.name, name, have, want)
			}
		}
		if id := resp.Header.Get(RequestIDField); r.Header.Get(RequestIDField) != id || id == "mine" {
			t.Errorf("%s: request id %q at the origin, %q at the client", test.name, r.Header.Get(RequestIDField), id)
		}
		host := test.host
		if test.name == "an alias" {
			host = "blog.test"
		}
		if r.URL.String() != "http://"+host+"/a%2Fb?c" || r.Host != host {
			t.Errorf("%s: URL is %s, Host %s", test.name, r.URL, r.Host)
		}
		if log := n.records(); len(log) != 1 || log[0]["host"] != test.host {
			t.Errorf("%s: the log says %v", test.name, log)
		}
	}
}

// TestMaxForwards counts hops (RFC 9110 §7.6.2); forwarded is what the origin gets, "-" if it isn't asked.
func TestMaxForwards(t *testing.T) {
	for _, test := range []struct{ name, method, sent, forwarded string }{
		{"the last hop", "OPTIONS", "0", "-"},
		{"one more", "OPTIONS", "1", "0"},
		{"leading zeros", "OPTIONS", "010", "9"},
		{"more than we can count", "OPTIONS", "99999999999999999999999", "18446744073709551614"},
		{"no number", "OPTIONS", "-1", "-1"},
		{"other methods may ignore it", "GET", "0", "0"},
	} {
		got := make(chan string, 1)
		n := start(t, nodeOptions{upstream: func(r *http.Request) (*http.Response, error) {
			got <- r.Header.Get("Max-Forwards")
			return respond(200, ""), nil
		}})
		resp, _ := n.ask(test.method + " /a HTTP/1.1\r\nHost: shop.test\r\nMax-Forwards: " + test.sent + "\r\n\r\n")
		forwarded := "-"
		select {
		case forwarded = <-got:
		default:
		}
		if forwarded != test.forwarded || (resp.StatusCode == http.StatusNoContent) != (forwarded == "-") {
			t.Errorf("%s: forwarded with %q, want %q; status %d", test.name, forwarded, test.forwarded, resp.StatusCode)
		}
	}
}
