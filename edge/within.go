package edge

import (
	"context"
	"net/http"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/edge/policy"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/trace"
)

// programKey marks the context of a request that a program makes while it answers another. It has the site that the program answers for.
type programKey struct{}

// FromProgram marks requests of a program that answers for a site. They are for the site's own hosts, and get what its cache and its origins say: no
// program is asked, and no rule refuses them. RemoteAddr is the client's that the program answers. They are no client's: they stand neither in the
// access log nor in Stats, and in the trace of the request that the program answers, if ctx has one.
func FromProgram(ctx context.Context, site config.SiteName) context.Context {
	return context.WithValue(ctx, programKey{}, site)
}

// beginWithin is begin for a request that a program may make.
func (x *exchange) beginWithin(ctx context.Context) {
	if x.program, _ = ctx.Value(programKey{}).(config.SiteName); x.program != "" {
		x.trace = trace.From(ctx)
	}
}

// forgetOuter takes off what a program has copied from the request that it answers, and that would be taken for signs of a loop, or of an operator.
func (x *exchange) forgetOuter() {
	for _, name := range [...]string{"Cdn-Loop", "Via", trace.Field} {
		delete(x.r.Header, name)
	}
}

func (x *exchange) refuseForeign() (goOn bool) {
	return x.refuse(refusedForeign, fault.Client, http.StatusForbidden,
		"A program that answers for the site "+string(x.program)+" can ask for this site's hosts, and "+string(x.target.Host)+" is none of them.")
}

// pastPrograms are the treatments of requests of a site's programs.
func (e *Edge) pastPrograms(s *site) map[*config.Rule]*policy.Treatment {
	past := make(map[*config.Rule]*policy.Treatment, len(s.treatments))
	for rule, t := range s.treatments {
		if p := policy.Past(s.Site, rule); p.Keys.Past {
			if t = p; e.origin != nil {
				t.Upstream = e.origin(s.Name)
			}
		}
		past[rule] = t
	}
	return past
}

// recordWithin counts a request of a program.
func (e *Edge) recordWithin(x *exchange, status int) {
	e.metrics.within.WithLabelValues(string(x.program), verdictLabel(verdictIndex(x.outcome.Verdict))).Inc()
	if x.trace.On() {
		x.trace.Addf("edge", x.step, "the program's request for %s: %s, status %d", x.r.URL.RequestURI(), x.outcome.Verdict, status)
	}
}
