package portal

import (
	"crypto/sha256"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/wherry/wherry/config"
)

// Options are what a Portal needs.
type Options struct {
	Network Network
	// Metrics answers GET /metrics. Without it the route is 404.
	Metrics http.Handler
	// API answers what is below /api/v1/, and finds out itself who asks. Without it that is 404.
	API http.Handler
	// Values answers what is below /api/kv/, without that front, for operators alone. Without it that is 404.
	Values http.Handler
	// Control says that the API is that of a network with control: / is its portal then, and the status of this process is at /node.
	Control bool
	// OperatorToken opens the operator's routes. Empty: nothing opens them.
	OperatorToken string
	// Hosts are names under which the portal may be asked on a loopback address, besides addresses and localhost.
	Hosts []config.Host
	// Version is shown where Status has none.
	Version string
	// Count are the portal's own counters. default: counted and shown nowhere
	Count *Metrics
	// Log takes refusals. default: slog.Default()
	Log *slog.Logger
	// Now is the clock for ages on the page. default: time.Now
	Now func() time.Time
}

// Portal answers people and operators.
type Portal struct {
	network     Network
	metrics     http.Handler
	api         http.Handler
	values      http.Handler
	control     bool
	token       [sha256.Size]byte // of the operator's token, so that comparing takes the same time for all lengths
	tokenSet    bool
	hosts       []config.Host
	version     string
	count       *Metrics
	log         *slog.Logger
	now         func() time.Time
	crossOrigin *http.CrossOriginProtection
	assets      assets
	desk        desk // with control
	page        *template.Template
	mux         *http.ServeMux
}

var _ http.Handler = (*Portal)(nil)

// New returns a portal.
func New(o Options) *Portal {
	p := &Portal{
		network: o.Network, metrics: o.Metrics, api: o.API, values: o.Values, control: o.Control, hosts: o.Hosts, version: o.Version, count: o.Count, log: o.Log, now: o.Now,
		token: sha256.Sum256([]byte(o.OperatorToken)), tokenSet: o.OperatorToken != "",
		crossOrigin: http.NewCrossOriginProtection(), assets: loadAssets(), mux: http.NewServeMux(),
	}
	if p.count == nil {
		p.count = NewMetrics(prometheus.NewRegistry())
	}
	if p.log == nil {
		p.log = slog.Default()
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.control {
		p.desk = loadDesk(p.assets, p.version)
	}
	p.page = p.parsePage()
	for _, t := range p.routes() {
		p.mux.Handle(t.pattern, p.route(t))
	}
	return p
}

// route is one thing that can be asked for.
type route struct {
	method   string // GET includes HEAD
	pattern  string
	operator bool // needs the token
	handle   func(w http.ResponseWriter, r *http.Request) *problem
}

// apiPattern is where Options.API is.
const apiPattern = "/api/v1/"

// valuesPattern is where Options.Values is.
const valuesPattern = "/api/kv/"

// routes is all that the portal answers.
func (p *Portal) routes() []route {
	pages := []route{{"GET", "/{$}", false, p.getPage}}
	if p.control {
		pages = []route{{"GET", "/{$}", false, p.getDesk}, {"GET", "/node", false, p.getPage}, {"GET", "/assets/{folder}/{name}", false, p.getDeskFile}}
	}
	return append(pages, []route{
		{"GET", "/healthz", false, p.getHealth},
		{"GET", "/metrics", false, p.getMetrics},
		{"GET", "/assets/{name}", false, p.getAsset},
		{"GET", "/api/status", false, p.getStatus},
		{"GET", "/api/traces/{id}", true, p.getTrace},
		{"GET", "/api/programs/{name}/log", true, p.getProgramLog},
		{"", apiPattern, false, p.passAPI},
		{"", valuesPattern, true, p.passValues},
		{"", "/", false, p.notFound},
	}...)
}

// ServeHTTP answers one request.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

// route returns the steps of a request to t.
func (p *Portal) route(t route) http.Handler {
	steps := []func(w http.ResponseWriter, r *http.Request, t route) *problem{
		p.checkHost,
		p.checkOrigin,
		p.checkMethod,
		p.checkToken,
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		defer func() { p.count.requests.WithLabelValues(t.pattern, strconv.Itoa(recorder.status)).Inc() }()
		setSecurityHeaders(w.Header())
		if t.pattern != apiPattern && t.pattern != valuesPattern { // which bound each body as they need
			r.Body = http.MaxBytesReader(recorder, r.Body, bodyMaxBytes)
		}
		for _, step := range steps {
			if trouble := step(recorder, r, t); trouble != nil {
				p.answer(recorder, r, trouble)
				return
			}
		}
		if trouble := t.handle(recorder, r); trouble != nil {
			p.answer(recorder, r, trouble)
		} else if recorder.status == http.StatusUnauthorized {
			p.count.refused.WithLabelValues("token").Inc()
		}
	})
}

func (p *Portal) notFound(_ http.ResponseWriter, r *http.Request) *problem {
	known := []string{"GET " + apiPattern + "openapi.json"}
	for _, t := range p.routes() {
		if t.method != "" && !strings.HasPrefix(t.pattern, "/assets/") {
			known = append(known, t.method+" "+strings.TrimSuffix(t.pattern, "{$}"))
		}
	}
	slices.Sort(known)
	return newProblem(http.StatusNotFound, fmt.Sprintf("The portal has nothing at %s.", r.URL.Path),
		"Ask for one of: "+strings.Join(known, ", ")+".")
}

// statusRecorder notes the status for the metrics.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (s *statusRecorder) WriteHeader(status int) {
	s.status = status
	s.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController through.
func (s *statusRecorder) Unwrap() http.ResponseWriter { return s.ResponseWriter }
