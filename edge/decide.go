package edge

import (
	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/compute/stage"
	"github.com/wherry/wherry/fault"
)

// decide asks the program that the rule names before the cache, if it does. The program of the rule of another target isn't asked: one decides. Another
// node that asks has decided already, and for a program nobody decides.
func (e *Edge) decide(x *exchange) (goOn bool) {
	program := x.treatment.Before
	if program == nil || x.program != "" || fromPeer(x.r.Context()) {
		return true
	}
	d, err := stage.Before(x.r.Context(), program, x.r)
	if err != nil {
		x.failure, x.outcome.Verdict = fault.Of(err), cache.Failed
		return false
	}
	if d.Answer != nil {
		defer d.Answer.Body.Close()
		x.outcome.Verdict, x.outcome.Detail = cache.Pass, "program"
		x.outcome.CacheStatus = e.member + "; fwd=bypass; detail=program"
		x.note("the program answers")
		x.pass(d.Answer)
		return false
	}
	d.Apply(x.r)
	if d.Target == nil {
		return true
	}
	x.target.Path, x.target.Query = x.r.URL.EscapedPath(), x.r.URL.RawQuery
	return x.rule("the program asks for", x.r.RequestURI)
}
