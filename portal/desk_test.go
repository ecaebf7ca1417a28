package portal_test

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/portal"
)

func newDesk(change ...func(*portal.Options)) *portal.Portal {
	return newPortal(&network{}, append(change, func(o *portal.Options) {
		o.Control = true
		o.API = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "the API") })
	})...)
}

// With control / is the portal, all that it loads is there and may be kept for ever, and the status of the process has moved.
func TestDesk(t *testing.T) {
	p := newDesk()
	w := ask(p, "GET", "/", "")
	page := w.Body.String()
	if w.Code != 200 || w.Header().Get("Cache-Control") != "no-store" || !strings.Contains(page, "1.2.3") {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	found := regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(found) != 4+1 { // the icon is there twice
		t.Errorf("the page loads %v", found)
	}
	folder := ""
	for _, f := range found {
		w := ask(p, "GET", f[1], "")
		if w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", f[1], w.Code, w.Header())
		}
		if before, ok := strings.CutSuffix(f[1], "/main.js"); ok {
			folder = before
		}
	}
	seen := map[string]bool{}
	for queue := []string{"main.js"}; len(queue) > 0; queue = queue[1:] {
		if seen[queue[0]] {
			continue
		}
		seen[queue[0]] = true
		w := ask(p, "GET", folder+"/"+queue[0], "")
		if w.Code != 200 || w.Header().Get("Content-Type") != "text/javascript; charset=utf-8" {
			t.Errorf("%s: %d %v", queue[0], w.Code, w.Header())
		}
		for _, m := range regexp.MustCompile(`from "\./([^"]+)"`).FindAllStringSubmatch(w.Body.String(), -1) {
			queue = append(queue, m[1])
		}
	}
	if len(seen) < 10 {
		t.Errorf("modules %v", seen)
	}
	for path, want := range map[string]string{"/node": "All 2 edges answer", "/api/v1/status": "the API"} {
		if w := ask(p, "GET", path, ""); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for _, path := range []string{"/assets/000000000000/main.js", folder + "/index.html", folder + "/nothing.js"} {
		if w := ask(p, "GET", path, ""); w.Code != 404 || !strings.Contains(w.Body.String(), "Load the page again") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := ask(newPortal(&network{}), "GET", folder+"/main.js", ""); w.Code != 404 {
		t.Errorf("without control there are its files: %d", w.Code)
	}
}

// The portal's page runs its own files alone, sets no cookie, and is nobody else's frame.
func TestDeskPolicy(t *testing.T) {
	h := ask(newDesk(), "GET", "/", "").Header()
	policy := h.Get("Content-Security-Policy")
	for _, want := range []string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "form-action 'none'",
		"require-trusted-types-for 'script'", "trusted-types 'none'",
	} {
		if !strings.Contains(policy, want) {
			t.Errorf("%q lacks %s", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") || len(h.Values("Content-Security-Policy")) != 1 || h.Get("Set-Cookie") != "" {
		t.Errorf("%v", h)
	}
	page := ask(newDesk(), "GET", "/", "").Body.String()
	for _, no := range []string{"<style", " style=", "onclick=", "http://", "https://", "<script>"} {
		if strings.Contains(page, no) {
			t.Errorf("the page has %s", no)
		}
	}
	for _, tt := range []struct {
		fields []string
		status int
	}{
		{[]string{"Origin: https://evil.test", "Sec-Fetch-Site: cross-site"}, 403},
		{[]string{"Host: evil.test"}, 421},
		{[]string{"Origin: http://127.0.0.1:8088", "Sec-Fetch-Site: same-origin"}, 200},
	} {
		if w := ask(newDesk(), "POST", "/api/v1/purges", "{}", tt.fields...); w.Code != tt.status {
			t.Errorf("%v: %d", tt.fields, w.Code)
		}
	}
}

// examine is a page that runs a script with the portal's modules, in a browser, and returns what it writes.
func examine(t *testing.T, script string) string {
	t.Helper()
	p := newDesk()
	folder := regexp.MustCompile(`/assets/[0-9a-f]+/`).FindString(ask(p, "GET", "/", "").Body.String())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/examine" {
			p.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, "<!doctype html><pre></pre><script type=module>const say = (text) => document.querySelector('pre').append(text + '\\n');\n"+
			"addEventListener('error', (e) => say('error: ' + e.message));\n"+strings.ReplaceAll(script, "MODULES/", folder)+"\nsay('end');</script>")
	})}
	served := make(chan struct{})
	go func() { defer close(served); s.Serve(l) }()
	defer func() { s.Close(); <-served }()
	dom := browse(t, "http://"+l.Addr().String()+"/examine", time.Second)
	_, rest, _ := strings.Cut(dom, "<pre>")
	text, _, _ := strings.Cut(rest, "</pre>")
	if !strings.HasSuffix(text, "end\n") || strings.Contains(text, "error") {
		t.Fatalf("the script says %q in %s", text, dom)
	}
	return strings.TrimSuffix(text, "end\n")
}

// What somebody else changed and what I changed come together, and what both changed is marked.
func TestMergeAndCompare(t *testing.T) {
	got := examine(t, `
import { compare, hunks, merge } from "MODULES/diff.js";
const show = (r) => r.conflicts + ": " + r.text.trimEnd().split("\n").join("|");
say(show(merge("a\nb\nc\n", "a\nB\nc\n", "a\nb\nc\nd\n")));
say(show(merge("a\nb\nc\n", "a\nc\n", "a\nb\nc\n")));
say(show(merge("a\nb\nc\n", "a\nX\nc\n", "a\nX\nc\n")));
say(show(merge("a\nb\nc\n", "a\nX\nc\n", "a\nY\nc\n")));
say(show(merge("", "a\n", "")));
const lines = hunks(compare("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\n5\n6\n7\n8\nX\n"));
say(lines.map((h) => h.map((l) => l.kind + l.text).join(",")).join("|"));
let seed = 7;
const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
const text = () => Array.from({ length: random(12) }, () => "abcd"[random(4)] + "\n").join("");
const join = (all, without) => all.filter((l) => l.kind !== without).map((l) => l.text + "\n").join("");
let wrong = 0;
for (let i = 0; i < 3000; i++) {
  const [o, a, b] = [text(), text(), text()];
  const all = compare(a, b);
  if (join(all, "+") !== a || join(all, "-") !== b) wrong++;
  if (merge(o, a, o).text !== a || merge(o, o, b).text !== b || merge(o, a, a).text !== a) wrong++;
}
say("wrong " + wrong);
`)
	want := "0: a|B|c|d\n0: a|c\n0: a|X|c\n1: a|&lt;&lt;&lt;&lt;&lt;&lt;&lt; yours|X|=======|Y|&gt;&gt;&gt;&gt;&gt;&gt;&gt; theirs|c\n0: a\n 6, 7, 8,-9,+X\nwrong 0\n"
	if got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

// The archive of an export is one that tar takes.
func TestTar(t *testing.T) {
	long := strings.Repeat("a", 80) + "/" + strings.Repeat("b", 60) + ".yaml"
	got := examine(t, `
import { tar } from "MODULES/tar.js";
const text = new TextEncoder();
const blob = tar([{ name: "network/network.yaml", content: text.encode("zone: ü\n") }, { name: "`+long+`", content: new Uint8Array(1024) }, { name: "empty", content: new Uint8Array() }]);
say(btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer()))));
`)
	data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(got))
	if err != nil {
		t.Fatal(err)
	}
	names, sizes, archive := []string{}, []int64{}, tar.NewReader(bytes.NewReader(data))
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil || h.Mode != 0o600 || len(names) == 0 && string(content) != "zone: ü\n" {
			t.Errorf("%s: %q, %v", h.Name, content, err)
		}
		names, sizes = append(names, h.Name), append(sizes, h.Size)
	}
	if strings.Join(names, " ") != "network/network.yaml "+long+" empty" || sizes[1] != 1024 || sizes[2] != 0 {
		t.Errorf("%v %v", names, sizes)
	}
}

// A page that is made anew leaves alone what a person is using.
func TestMorph(t *testing.T) {
	got := examine(t, `
import { h, morph, mount, table } from "MODULES/dom.js";
const main = document.body.appendChild(h("main"));
const own = {};
const view = (rows, more) => h("main", null, more && h("p", null, "more"), h("input", { id: "i", oninput: () => say("typed " + rows.length) }),
  mount(own, "form", () => ({ element: h("form", null, h("textarea", { id: "t" })) })), table("Rows", ["Name", "Value"], rows));
morph(main, view([["a", "1"]]));
const [input, area] = [main.querySelector("#i"), main.querySelector("#t")];
input.value = "mine"; area.value = "also mine"; area.focus();
morph(main, view([["a", "2"], ["<b>", "3"]], true));
say(main.querySelector("#t") === area && area.value === "also mine");
say(main.querySelectorAll("tbody tr").length + main.querySelector("tbody").textContent);
morph(main, view([["a", "2"]]));
say([main.querySelector("#t") === area, main.querySelectorAll("#t").length, main.querySelectorAll("p").length].join());
main.querySelector("#i").oninput();
morph(main, view([["a", "2"]]));
area.focus(); area.setSelectionRange(2, 4);
morph(main, view([["a", "4"]]));
say([document.activeElement === area, area.selectionStart, area.selectionEnd].join());
`)
	want := "true\n2a2&lt;b&gt;3\ntrue,1,0\ntyped 1\ntrue,2,4\n"
	if got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}

// The drawing has a line for each path, detours among them bend through who forwards, and names that look like HTML stay text.
func TestDrawing(t *testing.T) {
	got := examine(t, `
import { drawing, drawn } from "MODULES/drawing.js";
const path = (more) => ({ alive: true, chosen: false, rtt_ms: 20, loss: 0.001, delivered: 1, note: "measured", ...more });
const peers = [
  { node: "<b>", paths: [path({ chosen: true, via: "osaka" }), path({}), path({ via: "lima", alive: false })] },
  { node: "osaka", paths: [path({ chosen: true, note: "" })] },
];
const picture = drawing("lisbon", peers, "wide");
document.body.append(picture);
const all = (selector) => [...picture.querySelectorAll(selector)];
const centre = (name) => {
  const [rect] = all("g").filter((g) => g.firstChild.textContent === name).map((g) => g.querySelector("rect").getBBox());
  return { x: rect.x + rect.width / 2, y: rect.y + rect.height / 2 };
};
const nearest = (way, name) => {
  const at = centre(name);
  const steps = Array.from({ length: 400 }, (_, i) => way.getPointAtLength((i / 399) * way.getTotalLength()));
  return Math.min(...steps.map((p) => Math.hypot(p.x - at.x, p.y - at.y)));
};
for (const way of all(".way")) {
  const through = ["lisbon", "<b>", "osaka", "lima"].filter((name) => nearest(way, name) < 3);
  say([way.getAttribute("class"), way.textContent, through.join("+")].join("; "));
}
say(all(".figures").map((f) => [...f.querySelectorAll("text")].map((line) => line.textContent).join(" ")).join("; "));
say(all(".helper").map((g) => g.firstChild.textContent).join());
say(all("b").length);
const many = Array.from({ length: 40 }, (_, i) => ({ node: "n" + i, paths: [path({ delivered: i })] }));
say(drawn(many).map((p) => p.node).join());
`)
	want := `way silent; &lt;b&gt; through lima; lisbon+&lt;b&gt;+lima
way ; &lt;b&gt; directly; lisbon+&lt;b&gt;
way chosen; osaka directly; lisbon+osaka
way chosen; &lt;b&gt; through osaka; lisbon+&lt;b&gt;+osaka
silent; 20.0 ms 0.1 %; 20.0 ms; 20.0 ms 0.1 %
lima
0
n32,n33,n34,n35,n36,n37,n38,n39
`
	if got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
}
