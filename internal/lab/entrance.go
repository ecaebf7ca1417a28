package lab

import (
	"net/http"
	"net/http/httputil"
)

// entrance hands what is asked of the API to a control node that runs, so that the lab's commands need no other address when one is killed.
func (l *Lab) entrance() http.Handler {
	return &httputil.ReverseProxy{
		FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", l.controlDoor()
			r.Out.Host = r.Out.URL.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte(`{"title":"No control node of the lab answers","status":502,"detail":"Those that run may be starting.","action":"Start one with wherry lab restart, or try again."}`))
			l.o.Log.Debug("no control node answers", "error", err)
		},
	}
}

// controlDoor is the API of a control node that runs and isn't cut off; if there is none, of the first.
func (l *Lab) controlDoor() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.nodes[:l.o.Control] {
		if _, now := m.current(); now == "runs" && !l.cut[m.name()] {
			return string(m.settings.Listen.Portal)
		}
	}
	return string(l.nodes[0].settings.Listen.Portal)
}
