package page

import (
	"html"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wherry/wherry/fault"
)

// Page is what an error page tells. Nothing on it comes from behind the edge.
type Page struct {
	Status   int
	Notice   string // empty: the words for Party
	Party    fault.Party
	ID, Node string // of the request; that answers
	When     time.Time
}

// words returns what went wrong and who can do something about it.
func (p *Page) words() (what, todo string) {
	switch p.Party {
	case fault.Client:
		what, todo = "The request cannot be served as it was sent.", "Check the address or the program that sent the request."
	case fault.Origin:
		what = "The origin of this site gave no usable answer."
		switch p.Status {
		case http.StatusGatewayTimeout:
			what = "The origin of this site did not answer in time."
		case http.StatusServiceUnavailable:
			what = "The origin of this site takes no requests at the moment."
		}
		todo = "Try again in a while. If you run the site, look at its own server; the delivery network is working."
	case fault.Peer:
		what, todo = "Another node of the delivery network did not answer.", "Try again in a while."
	case fault.Config:
		what = "This site is not set up to answer the request."
		todo = "If you run the site, check its configuration on the delivery network."
	default:
		what, todo = "This node of the delivery network could not serve the request.", "Try again in a while."
	}
	if p.Notice != "" {
		what = p.Notice
	}
	return what, todo
}

func (p *Page) title() string { return strconv.Itoa(p.Status) + " " + http.StatusText(p.Status) }

// Text returns the page for programs.
func (p *Page) Text() string {
	what, todo := p.words()
	return p.title() + "\n\n" + what + "\n" + todo + "\n\nfault: " + string(p.Party) + "\nrequest: " + p.ID + "\nnode: " + p.Node +
		"\ntime: " + p.When.UTC().Format(time.RFC3339) + "\n"
}

// HTML returns the page for browsers.
func (p *Page) HTML() string {
	what, todo := p.words()
	title := html.EscapeString(p.title())
	return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>` + title + `</title>
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto; padding: 0 1.5rem }
h1 { font-size: 1.4rem }
dl { display: grid; grid-template-columns: max-content auto; gap: .1rem 1rem; margin-top: 2rem; font-size: .85rem; opacity: .75 }
dd { margin: 0; font-family: ui-monospace, monospace; overflow-wrap: anywhere }
</style>
<h1>` + title + `</h1>
<p><strong>` + html.EscapeString(what) + `</strong></p>
<p>` + html.EscapeString(todo) + `</p>
<dl>
<dt>Fault</dt><dd>` + string(p.Party) + `</dd>
<dt>Request</dt><dd>` + html.EscapeString(p.ID) + `</dd>
<dt>Node</dt><dd>` + html.EscapeString(p.Node) + `</dd>
<dt>Time</dt><dd>` + p.When.UTC().Format(time.RFC3339) + `</dd>
</dl>
</html>
`
}

// PrefersHTML says whether an Accept field (RFC 9110 §12.5.1) names text/html and doesn't like text/plain better. A wildcard is
// not enough: that is what programs send.
func PrefersHTML(accept []string) bool {
	htmlQ, plainQ := -1.0, -1.0
	for _, value := range accept {
		for part := range strings.SplitSeq(value, ",") {
			kind, params, _ := strings.Cut(part, ";")
			q := weight(params)
			switch strings.ToLower(strings.TrimSpace(kind)) {
			case "text/html":
				htmlQ = max(htmlQ, q)
			case "text/plain":
				plainQ = max(plainQ, q)
			}
		}
	}
	return htmlQ > 0 && htmlQ >= plainQ
}

// weight returns the q parameter (RFC 9110 §12.4.2), 1 if there is none, 0 if it is no number.
func weight(params string) float64 {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "q") {
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				return 0
			}
			return q
		}
	}
	return 1
}
