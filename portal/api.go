package portal

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// MarshalJSON writes the URL as text and without the password that it may contain.
func (o Origin) MarshalJSON() ([]byte, error) {
	type plain Origin // without this method
	return json.Marshal(struct {
		URL string `json:"url"`
		plain
	}{o.Address(), plain(o)})
}

// Address is the origin's URL for people: a password in it is masked.
func (o Origin) Address() string {
	if o.URL == nil {
		return ""
	}
	return o.URL.Redacted()
}

// status asks the network and leaves no list null.
func (p *Portal) status(ctx context.Context) Status {
	s := p.network.Status(ctx)
	if s.Version == "" {
		s.Version = p.version
	}
	s.Clusters, s.Sites, s.Commands = orEmpty(s.Clusters), orEmpty(s.Sites), orEmpty(s.Commands)
	s.Incidents = orEmpty(s.Incidents)
	return s
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (p *Portal) getStatus(w http.ResponseWriter, r *http.Request) *problem {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Accept")
	s := p.status(r.Context())
	// Only the page's script asks for HTML and nothing else: who follows the link in a browser wants the JSON.
	if r.Header.Get("Accept") == "text/html" {
		return p.render(w, "body", newView(s, p.now()))
	}
	w.Header().Set("Content-Type", "application/json")
	writeJSON(w, s)
	return nil
}

func (p *Portal) getHealth(w http.ResponseWriter, r *http.Request) *problem {
	w.Header().Set("Cache-Control", "no-store")
	if !p.status(r.Context()).Ready {
		return newProblem(http.StatusServiceUnavailable, "The network is starting: not every listener is open yet.",
			"Ask again in a second.")
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, "ready\n") // an error means that the client left
	return nil
}

func (p *Portal) getMetrics(w http.ResponseWriter, r *http.Request) *problem {
	if p.metrics == nil {
		return p.notFound(w, r)
	}
	p.metrics.ServeHTTP(w, r)
	return nil
}

// passAPI hands over what control, or as much of it as this process has, answers.
func (p *Portal) passAPI(w http.ResponseWriter, r *http.Request) *problem {
	if p.api == nil {
		return p.notFound(w, r)
	}
	p.api.ServeHTTP(w, r)
	return nil
}

// passValues hands over to the key-value store.
func (p *Portal) passValues(w http.ResponseWriter, r *http.Request) *problem {
	if p.values == nil {
		return newProblem(http.StatusNotFound, "This node has no key-value store.", "Ask the portal of an edge, or of a control node.")
	}
	http.StripPrefix(strings.TrimSuffix(valuesPattern, "/"), p.values).ServeHTTP(w, r)
	return nil
}

func (p *Portal) getTrace(w http.ResponseWriter, r *http.Request) *problem {
	id := r.PathValue("id")
	report, ok := p.network.Trace(id)
	if !ok {
		return newProblem(http.StatusNotFound, fmt.Sprintf("There is no trace called %q, or it is no longer kept.", id),
			"Send the request again with `wherry trace URL` and ask right after it.")
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	report.Steps = orEmpty(report.Steps)
	writeJSON(w, report)
	return nil
}
