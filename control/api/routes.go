package api

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// Prefix is what all paths of the API begin with.
const Prefix = "/api/v1"

const (
	bodyMax    = 1 << 20
	applyMax   = 64 << 20
	programMax = 1 << 30

	boundUsual = time.Minute
	boundLong  = 30 * time.Minute // of what carries a program or a backup, or waits for a roll-out
)

// route is one operation: what the table says of it makes its handler and its description.
type route struct {
	method, path string // below Prefix
	id           string // operationId
	verb         Verb   // that the token needs; empty: any token will do
	summary      string
	about        string

	query    []param
	in       any  // the zero value of what the body holds in JSON; octets{}: bytes; nil: no body
	optional bool // the body may be left out
	out      any  // the same of the answer
	status   int  // default 200

	bodyMax int64         // default bodyMax
	bound   time.Duration // of all of it, default boundUsual

	serve func(ctx context.Context, c *call) (any, error)
}

// octets stands for bytes that aren't JSON.
type octets struct{}

// stream is an answer in octets.
type stream func(w io.Writer) error

// kind is what a query parameter holds.
type kind string

const (
	text   kind = "string"
	number kind = "integer" // not negative
	truth  kind = "boolean"
	list   kind = "array"     // of text, the parameter being repeated
	moment kind = "date-time" // of RFC 3339
)

type param struct {
	name string
	kind kind
	doc  string
}

var messageParam = param{"message", text, "why, for the history"}

// routes is all that the API answers, beside its description.
func routes() []route {
	var all []route
	for _, part := range [][]route{
		statusRoutes(), applyRoutes(), siteRoutes(), rolloutRoutes(), upgradeRoutes(), purgeRoutes(), nodeRoutes(), imageRoutes(), secretRoutes(), pathRoutes(), tunnelRoutes(), tokenRoutes(), controlRoutes(),
	} {
		all = append(all, part...)
	}
	return all
}

func statusRoutes() []route {
	return []route{
		{
			method: "GET", path: "/status", id: "status", verb: Read, summary: "The whole network at a glance", out: Status{},
			serve: func(ctx context.Context, c *call) (any, error) { return c.service.Status(ctx, c.actor) },
		},
		{
			method: "GET", path: "/self", id: "self", summary: "Whose token it is, and what it may do", out: Self{},
			serve: func(_ context.Context, c *call) (any, error) {
				return Self{Name: c.actor.Name, Scope: c.actor.Can, Expires: c.actor.Expires}, nil
			},
		},
		{
			method: "GET", path: "/audit", id: "audit", verb: Admin, summary: "Who changed what, newest first", out: []AuditRecord{},
			query: []param{{"limit", number, "how many; default 100, at most 1000"}, {"subject", text, "such as site/shop"}, {"actor", text, "the name of a token"}, {"before", moment, "only what was earlier"}},
			serve: func(ctx context.Context, c *call) (any, error) {
				return c.service.Audit(ctx, c.actor, AuditQuery{Limit: c.number("limit"), Subject: c.text("subject"), Actor: c.text("actor"), Before: c.moment("before")})
			},
		},
	}
}

func applyRoutes() []route {
	return []route{
		{
			method: "POST", path: "/apply", id: "apply", verb: Deploy, summary: "Make sites and settings hold",
			about: "Each document becomes a revision that is rolled out: a canary, its cluster, a quarter of the edges, all. With `emergency` it holds " +
				"everywhere at once. A document whose `base` isn't what holds any more is refused with 409 and the difference. With `dry_run` nothing changes.",
			in: ApplyRequest{}, out: ApplyResult{}, bodyMax: applyMax, bound: boundLong,
			serve: func(ctx context.Context, c *call) (any, error) {
				in, err := c.readApply(ctx)
				if err != nil {
					return nil, err
				}
				return c.service.Apply(ctx, c.actor, in)
			},
		},
		{
			method: "GET", path: "/export", id: "export", verb: Read, summary: "The whole network as files that can be applied again",
			about: "With `secrets` private keys and the secrets of programs are among the files; that needs the verb admin.", out: Export{}, bound: boundLong,
			query: []param{{"secrets", truth, "with private keys"}},
			serve: func(ctx context.Context, c *call) (any, error) {
				if c.truth("secrets") && !c.actor.Can.Allows(Admin) {
					return nil, c.forbidden(Admin)
				}
				return c.service.Export(ctx, c.actor, c.truth("secrets"))
			},
		},
	}
}

func siteRoutes() []route {
	return []route{
		{
			method: "GET", path: "/sites", id: "sites", verb: Read, summary: "The sites, by name", out: []Site{},
			about: "All of them, or a page: ask for what is `after` the last name of the page before.",
			query: []param{{"contains", text, "only sites with this in their name or in a host"}, {"after", text, "begin behind this name"}, {"limit", number, "at most so many; default: all"}},
			serve: func(ctx context.Context, c *call) (any, error) {
				return c.service.Sites(ctx, c.actor, SiteQuery{Contains: c.text("contains"), After: config.SiteName(c.text("after")), Limit: c.number("limit")})
			},
		},
		{
			method: "GET", path: "/sites/{site}", id: "site", verb: Read, summary: "A site as it holds", out: SiteDetail{},
			serve: func(ctx context.Context, c *call) (any, error) {
				return c.service.Site(ctx, c.actor, config.SiteName(c.path("site")))
			},
		},
		{
			method: "DELETE", path: "/sites/{site}", id: "removeSite", verb: Deploy, summary: "Take a site away", out: ApplyResult{},
			query: []param{messageParam}, bound: boundLong,
			serve: func(ctx context.Context, c *call) (any, error) {
				return c.service.RemoveSite(ctx, c.actor, RemoveRequest{Name: config.SiteName(c.path("site")), Message: c.text("message")})
			},
		},
		{
			method: "GET", path: "/sites/{site}/revisions", id: "history", verb: Read, summary: "The revisions of a site, newest first",
			about: "`network` stands for the network's settings.", out: []Revision{},
			serve: func(ctx context.Context, c *call) (any, error) {
				return c.service.History(ctx, c.actor, c.path("site"))
			},
		},
		{
			method: "GET", path: "/sites/{site}/revisions/{number}", id: "revision", verb: Read, summary: "One revision with its text",
			about: "`network` stands for the network's settings.", out: RevisionDetail{},
			serve: func(ctx context.Context, c *call) (any, error) {
				n, err := strconv.ParseUint(c.path("number"), 10, 64)
				if err != nil || n == 0 {
					return nil, newProblem(http.StatusBadRequest, strconv.Quote(c.path("number"))+" is not the number of a revision.", "Write a number from 1 on, as the history has it.")
				}
				return c.service.Revision(ctx, c.actor, c.path("site"), n)
			},
		},
		{
			method: "POST", path: "/sites/{site}/rollback", id: "rollback", verb: Deploy, summary: "An earlier revision's content as a new revision",
			about: "Rolled out as an apply is. `network` stands for the network's settings. The name stands in the path; in the body it may be left out.",
			in:    RollbackRequest{}, optional: true, out: ApplyResult{}, bound: boundLong,
			serve: withBody(func(ctx context.Context, c *call, in RollbackRequest) (any, error) {
				if in.Name != "" && in.Name != c.path("site") {
					return nil, newProblem(http.StatusBadRequest, "The path names "+c.path("site")+" and the body "+in.Name+".", "Leave the name out of the body.")
				}
				in.Name = c.path("site")
				return c.service.Rollback(ctx, c.actor, in)
			}),
		},
	}
}

func rolloutRoutes() []route {
	all := []route{
		{
			method: "GET", path: "/rollouts", id: "rollouts", verb: Read, out: []Rollout{},
			summary: "The roll-outs under way and the latest that ended, newest first",
			serve:   func(ctx context.Context, c *call) (any, error) { return c.service.Rollouts(ctx, c.actor) },
		},
		{
			method: "GET", path: "/rollouts/{rollout}", id: "rollout", verb: Read, summary: "How far a roll-out has come", out: Rollout{},
			serve: func(ctx context.Context, c *call) (any, error) {
				return c.service.Rollout(ctx, c.actor, c.path("rollout"))
			},
		},
	}
	for _, s := range []struct {
		how   Steering
		about string
	}{
		{Pause, "Hold a roll-out where it is"},
		{Resume, "Let a paused roll-out go on"},
		{Abort, "End a roll-out, and go back to what held before"},
	} {
		all = append(all, route{
			method: "POST", path: "/rollouts/{rollout}/" + string(s.how), id: string(s.how) + "Rollout", verb: Deploy, summary: s.about, out: Rollout{},
			serve: func(ctx context.Context, c *call) (any, error) {
				return c.service.SteerRollout(ctx, c.actor, c.path("rollout"), s.how)
			},
		})
	}
	return all
}

func upgradeRoutes() []route {
	return []route{{
		method: "POST", path: "/upgrade", id: "upgrade", verb: Admin, summary: "Roll a program out to nodes, or go back to the one before",
		about: "The body is the program, or nothing with `back`.",
		in:    octets{}, optional: true, out: ApplyResult{}, bodyMax: programMax, bound: boundLong,
		query: []param{
			{"version", text, "default: what the program says of itself"},
			{"back", truth, "to the version that held before"},
			{"node", list, "the nodes that get it; default: all"},
			{"emergency", truth, "everywhere at once, without phases"},
			messageParam,
			{"wait", truth, "answer when the roll-out has ended"},
		},
		serve: func(ctx context.Context, c *call) (any, error) {
			in := UpgradeRequest{
				Version: c.text("version"), Back: c.truth("back"), Emergency: c.truth("emergency"), Message: c.text("message"), Wait: c.truth("wait"),
			}
			for _, name := range c.values["node"] {
				in.Nodes = append(in.Nodes, config.NodeID(name))
			}
			if in.Back {
				return c.service.Upgrade(ctx, c.actor, in, http.NoBody)
			}
			if err := c.checkType("application/octet-stream"); err != nil {
				return nil, err
			}
			return c.service.Upgrade(ctx, c.actor, in, c.body())
		},
	}}
}

// purgeWaitMax bounds what a purge may be waited for.
const purgeWaitMax = 10 * time.Minute

func purgeRoutes() []route {
	return []route{{
		method: "POST", path: "/purges", id: "purge", verb: Purge, summary: "Say what caches may not use any more",
		about: "Answers when every live edge has confirmed it, or `wait` is over.", in: PurgeRequest{}, out: PurgeResult{}, bound: purgeWaitMax + boundUsual,
		serve: withBody(func(ctx context.Context, c *call, in PurgeRequest) (any, error) {
			if in.Wait < 0 || in.Wait > purgeWaitMax {
				return nil, newProblem(http.StatusBadRequest, "Nobody waits for "+in.Wait.String()+".", "Write nanoseconds, up to 10 minutes, in `wait`.")
			}
			switch in.Kind {
			case feed.PurgeURL, feed.PurgePrefix, feed.PurgeTag, feed.PurgeSite, feed.PurgeAll:
				return c.service.Purge(ctx, c.actor, in)
			}
			return nil, newProblem(http.StatusBadRequest, strconv.Quote(string(in.Kind))+" is no kind of purge.", "Write url, prefix, tag, site or all in `kind`.")
		}),
	}}
}

func nodeRoutes() []route {
	return []route{
		{
			method: "GET", path: "/nodes", id: "nodes", verb: Read, summary: "All nodes, as in the status", out: []NodeStatus{},
			serve: func(ctx context.Context, c *call) (any, error) {
				s, err := c.service.Status(ctx, c.actor)
				return s.Nodes, err
			},
		},
		{
			method: "DELETE", path: "/nodes/{node}", id: "removeNode", verb: Admin, summary: "Cut a node off for good", out: RemoveNodeResult{},
			query: []param{messageParam}, bound: boundLong,
			serve: func(ctx context.Context, c *call) (any, error) {
				return c.service.RemoveNode(ctx, c.actor, RemoveNodeRequest{Node: config.NodeID(c.path("node")), Message: c.text("message")})
			},
		},
		{
			method: "POST", path: "/nodes/{node}", id: "changeNode", verb: Admin, summary: "Change a node's place, addresses or roles",
			about: "What is left out stays. The name stands in the path; in the body it may be left out.", in: ChangeNodeRequest{}, out: ChangeNodeResult{},
			serve: withBody(func(ctx context.Context, c *call, in ChangeNodeRequest) (any, error) {
				if in.Node != "" && string(in.Node) != c.path("node") {
					return nil, newProblem(http.StatusBadRequest, "The path names "+c.path("node")+" and the body "+string(in.Node)+".", "Leave the name out of the body.")
				}
				in.Node = config.NodeID(c.path("node"))
				return c.service.ChangeNode(ctx, c.actor, in)
			}),
		},
		{
			method: "POST", path: "/join-tokens", id: "createJoinToken", verb: Admin, summary: "A token that lets nodes join", status: http.StatusCreated,
			in: JoinTokenRequest{}, optional: true, out: JoinToken{},
			serve: withBody(func(ctx context.Context, c *call, in JoinTokenRequest) (any, error) {
				return c.service.CreateJoinToken(ctx, c.actor, in)
			}),
		},
	}
}

func tokenRoutes() []route {
	return []route{
		{
			method: "GET", path: "/tokens", id: "tokens", verb: Admin, summary: "All tokens, without their secrets", out: []Token{},
			serve: func(ctx context.Context, c *call) (any, error) { return c.service.Tokens(ctx, c.actor) },
		},
		{
			method: "POST", path: "/tokens", id: "createToken", verb: Admin, summary: "A token for the API",
			about: "The answer is the only place where its secret is shown.", status: http.StatusCreated, in: TokenRequest{}, out: TokenCreated{},
			serve: withBody(func(ctx context.Context, c *call, in TokenRequest) (any, error) {
				return c.service.CreateToken(ctx, c.actor, in)
			}),
		},
		{
			method: "DELETE", path: "/tokens/{token}", id: "removeToken", verb: Admin, summary: "Take a token away, by its name", status: http.StatusNoContent,
			serve: func(ctx context.Context, c *call) (any, error) {
				return nil, c.service.RemoveToken(ctx, c.actor, c.path("token"))
			},
		},
	}
}

func controlRoutes() []route {
	return []route{
		{
			method: "POST", path: "/control/grow", id: "growControl", verb: Admin, summary: "Make nodes of role control members of the store",
			in: GrowRequest{}, out: Status{}, bound: boundLong,
			serve: withBody(func(ctx context.Context, c *call, in GrowRequest) (any, error) {
				return c.service.Grow(ctx, c.actor, in)
			}),
		},
		{
			method: "GET", path: "/control/backup", id: "backupControl", verb: Admin, summary: "The store and the images of programs as a file for wherry control restore",
			about: "An answer that breaks off is no backup.", out: octets{}, bound: boundLong,
			serve: func(ctx context.Context, c *call) (any, error) {
				return stream(func(w io.Writer) error { return c.service.Backup(ctx, c.actor, w) }), nil
			},
		},
	}
}
