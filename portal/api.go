package portal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"
)

// purgeTimeout is how long a purge waits for its slowest node.
const purgeTimeout = 30 * time.Second

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

func (p *Portal) postPurge(w http.ResponseWriter, r *http.Request) *problem {
	target, trouble := readPurge(r)
	if trouble != nil {
		return trouble
	}
	ctx, cancel := context.WithTimeout(r.Context(), purgeTimeout)
	defer cancel()
	result, err := p.network.Purge(ctx, target)
	if err != nil {
		return fromFault(err)
	}
	failed := 0
	for _, n := range result.Nodes {
		if n.Error != "" {
			failed++
		}
	}
	p.log.Info("purged", "url", target, "nodes", len(result.Nodes), "failed", failed, "client", r.RemoteAddr)
	if failed > 0 {
		trouble := newProblem(http.StatusBadGateway,
			fmt.Sprintf("%d of %d nodes may still serve %s.", failed, len(result.Nodes), target),
			"Look at the error of each node in `nodes`, then purge again: it does no harm on the others.")
		trouble.Nodes = result.Nodes
		return trouble
	}
	result.Nodes = orEmpty(result.Nodes)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	writeJSON(w, result)
	return nil
}

// readPurge returns the URL in the body {"url": …}.
func readPurge(r *http.Request) (target string, trouble *problem) {
	const example = `Send {"url": "https://shop.test/logo.svg"} as application/json.`
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return "", refusal("type", http.StatusUnsupportedMediaType, "The body is not declared as application/json.", example)
	}
	var body struct {
		URL string `json:"url"`
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(&body)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return "", refusal("size", http.StatusRequestEntityTooLarge, fmt.Sprintf("The body is larger than %d bytes.", large.Limit),
			example)
	case err != nil:
		return "", refusal("body", http.StatusBadRequest, "The body can't be read: "+err.Error()+".", example)
	}
	u, err := url.Parse(body.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return "", refusal("body", http.StatusBadRequest, fmt.Sprintf("%q is not an absolute http or https URL.", body.URL), example)
	}
	return body.URL, nil
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
