package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options are what a handler is made of beside its Service.
type Options struct {
	Version string       // of the program, for the description
	Log     *slog.Logger // default: slog.Default()
	Count   *Metrics     // default: counted and shown nowhere
}

// handler answers below Prefix.
type handler struct {
	service Service
	log     *slog.Logger
	count   *Metrics
	mux     *http.ServeMux
	applies chan struct{} // holds one for each apply whose body is being read, which bounds what they hold in memory
}

var _ http.Handler = (*handler)(nil)

// NewHandler answers the API of s, below Prefix. It starts no goroutines.
func NewHandler(s Service, o Options) http.Handler {
	h := &handler{service: s, log: o.Log, count: o.Count, mux: http.NewServeMux(), applies: make(chan struct{}, appliesMax)}
	if h.log == nil {
		h.log = slog.Default()
	}
	if h.count == nil {
		h.count = NewMetrics(prometheus.NewRegistry())
	}
	for _, r := range routes() {
		h.mux.Handle(r.method+" "+Prefix+r.path, h.route(r))
	}
	described := sync.OnceValue(func() description { return describe(o.Version) }) // when somebody asks: most starts don't need it
	h.mux.Handle("GET "+Prefix+"/openapi.json", document("application/json", func() []byte { return described().asJSON }))
	h.mux.Handle("GET "+Prefix+"/openapi.yaml", document("application/yaml", func() []byte { return described().asYAML }))
	return h
}

func document(kind string, data func() []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", kind)
		w.Write(data()) // an error means that the client left
	})
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found, pattern := h.mux.Handler(r)
	if pattern != "" {
		h.mux.ServeHTTP(w, r)
		return
	}
	silent := silentWriter{header: http.Header{}}
	found.ServeHTTP(&silent, r)
	p := newProblem(http.StatusNotFound, "The API has nothing at "+r.URL.Path+".", "All that it has stands in GET "+Prefix+"/openapi.json.")
	if allow := silent.header.Get("Allow"); silent.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", allow) // RFC 9110 §15.5.6
		p = newProblem(http.StatusMethodNotAllowed, r.Method+" is not for "+r.URL.Path+".", "Use "+allow+".")
	}
	answerProblem(w, p)
}

// silentWriter takes what ServeMux says of a request that has no route, which it doesn't say otherwise.
type silentWriter struct {
	header http.Header
	status int
}

func (w *silentWriter) Header() http.Header         { return w.header }
func (w *silentWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *silentWriter) WriteHeader(status int)      { w.status = status }

// call is one request to a route.
type call struct {
	*route
	*handler
	w      http.ResponseWriter
	r      *http.Request
	actor  Actor
	values map[string][]string // of the query, of kinds that fit
}

// steps are what a request passes before it is served.
var steps = [...]func(ctx context.Context, c *call) *Problem{
	authenticate,
	checkVerb,
	checkQuery,
}

// route returns the handler of r.
func (h *handler) route(r route) http.Handler {
	if r.bound == 0 {
		r.bound = boundUsual
	}
	if r.bodyMax == 0 {
		r.bodyMax = bodyMax
	}
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(req.Context(), r.bound)
		defer cancel()
		// A listener's own bounds fit short requests. Where deadlines can't be set there is no connection that could be held.
		deadline := http.NewResponseController(w)
		_ = deadline.SetReadDeadline(began.Add(r.bound))
		_ = deadline.SetWriteDeadline(began.Add(r.bound + answerBound))
		c := &call{route: &r, handler: h, w: w, r: req}
		c.r.Body = http.MaxBytesReader(w, req.Body, r.bodyMax)
		var result any
		var trouble *Problem
		for _, step := range steps {
			if trouble = step(ctx, c); trouble != nil {
				break
			}
		}
		if trouble == nil {
			var err error
			if result, err = r.serve(ctx, c); err != nil {
				trouble = problemOf(err)
			}
		}
		h.answer(c, result, trouble, began)
	})
}

// answerBound is how long the answer itself may take beyond the bound of a route.
const answerBound = 10 * time.Second

// authenticate finds out who asks (RFC 6750 §2.1).
func authenticate(ctx context.Context, c *call) *Problem {
	scheme, token, _ := strings.Cut(c.r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		c.w.Header().Set("WWW-Authenticate", `Bearer realm="wherry"`)
		return newProblem(http.StatusUnauthorized, "The request has no token.", actions[http.StatusUnauthorized])
	}
	actor, err := c.service.Authenticate(ctx, token)
	if err != nil {
		p := problemOf(err)
		if p.Status == http.StatusUnauthorized {
			c.w.Header().Set("WWW-Authenticate", `Bearer realm="wherry", error="invalid_token"`) // RFC 6750 §3.1
		}
		return p
	}
	c.actor = actor
	return nil
}

func checkVerb(_ context.Context, c *call) *Problem {
	if c.verb != "" && !c.actor.Can.Allows(c.verb) {
		return c.forbidden(c.verb)
	}
	return nil
}

func (c *call) forbidden(verb Verb) *Problem {
	return newProblem(http.StatusForbidden, fmt.Sprintf("The token %s may not do this: it needs the verb %s.", c.actor.Name, verb),
		fmt.Sprintf("Use one that may: wherry token create NAME --can %s.", verb))
}

// answer writes the result of a call, or its trouble, and logs what people would ask for: never a body, a query or a token.
func (h *handler) answer(c *call, result any, trouble *Problem, began time.Time) {
	status, aborted := c.status, false
	switch out := result.(type) {
	case stream:
		if trouble == nil {
			trouble, aborted = c.send(out)
		}
	default:
		if trouble == nil && c.status == http.StatusNoContent {
			c.w.Header().Set("Cache-Control", "no-store")
			c.w.WriteHeader(c.status)
		} else if trouble == nil {
			answerJSON(c.w, "application/json", c.status, out)
		}
	}
	if trouble != nil {
		status = trouble.Status
		if !aborted {
			answerProblem(c.w, trouble)
		}
	}
	h.count.requests.WithLabelValues(c.id, strconv.Itoa(status)).Inc()
	level, why := slog.LevelDebug, ""
	switch {
	case trouble != nil:
		level, why = slog.LevelWarn, trouble.Detail
	case c.verb != Read && c.verb != "":
		level = slog.LevelInfo
	}
	h.log.Log(c.r.Context(), level, "api", "operation", c.id, "path", c.r.URL.Path, "status", status, "actor", c.actor.Name,
		"client", c.r.RemoteAddr, "took", time.Since(began).Round(time.Millisecond), "error", why)
	if aborted {
		panic(http.ErrAbortHandler) // so that the client sees that it has a part only
	}
}

// send answers with a stream. An error before its first byte is a problem like others.
func (c *call) send(out stream) (trouble *Problem, aborted bool) {
	w := &lateWriter{w: c.w}
	if err := out(w); err != nil {
		if w.begun {
			_ = http.NewResponseController(c.w).Flush() // so that it is an answer that breaks off, not none
		}
		return problemOf(err), w.begun
	}
	w.begin()
	return nil, false
}

// lateWriter writes the header section before the first byte.
type lateWriter struct {
	w     http.ResponseWriter
	begun bool
}

func (l *lateWriter) begin() {
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Cache-Control", "no-store")
		l.w.Header().Set("Content-Type", "application/octet-stream")
		l.w.WriteHeader(http.StatusOK)
	}
}

func (l *lateWriter) Write(p []byte) (int, error) {
	l.begin()
	return l.w.Write(p)
}

func answerProblem(w http.ResponseWriter, p *Problem) {
	answerJSON(w, "application/problem+json", p.Status, p)
}

// answerJSON writes v for programs that people look over the shoulder of. An error of the connection means that the client left.
func answerJSON(w http.ResponseWriter, kind string, status int, v any) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	if err := encode(w, v); err != nil {
		var unsupported *json.UnsupportedTypeError
		if errors.As(err, &unsupported) {
			panic("BUG: api: " + err.Error())
		}
	}
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
