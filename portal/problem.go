package portal

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

// problem is an error response (RFC 9457 §3). Its type is about:blank, so that the title is the status' own phrase (§4.2.1).
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Action string `json:"action"` // what to do next

	reason string // the label in wherry_portal_refused_total; empty if nothing was refused
}

func newProblem(status int, detail, action string) *problem {
	return &problem{Title: http.StatusText(status), Status: status, Detail: detail, Action: action}
}

// refusal is a problem that is counted under reason.
func refusal(reason string, status int, detail, action string) *problem {
	p := newProblem(status, detail, action)
	p.reason = reason
	return p
}

// answer writes p: as a page to browsers, else as problem+json.
func (p *Portal) answer(w http.ResponseWriter, r *http.Request, trouble *problem) {
	if trouble.reason != "" {
		p.count.refused.WithLabelValues(trouble.reason).Inc()
		p.log.Warn("refused", "reason", trouble.reason, "method", r.Method, "path", r.URL.Path, "client", r.RemoteAddr)
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if wantsHTML(r) && !strings.HasPrefix(r.URL.Path, "/api/") {
		p.renderProblem(w, trouble)
		return
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(trouble.Status)
	writeJSON(w, trouble)
}

// wantsHTML says whether a browser asks. No full negotiation: all others get JSON.
func wantsHTML(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// writeJSON writes v for programs that people look over the shoulder of. An error means that the client left.
func writeJSON(w http.ResponseWriter, v any) {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	var unsupported *json.UnsupportedTypeError
	if err := e.Encode(v); errors.As(err, &unsupported) {
		panic("BUG: portal: " + err.Error())
	}
}
