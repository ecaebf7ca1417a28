package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/feed"
)

var quiet = api.Options{Log: slog.New(slog.DiscardHandler)}

// operation is one call of the client: what it is to send, and what is to come back.
type operation struct {
	id   string // in the description
	sent []any
	give any
	call func(ctx context.Context, c *api.Client) (any, error)
}

// asks is an operation without a body of its own.
func asks[T any](id string, call func(ctx context.Context, c *api.Client) (T, error), sent ...any) operation {
	return operation{id, sent, filled[T](), func(ctx context.Context, c *api.Client) (any, error) { return call(ctx, c) }}
}

// sends is an operation with an I.
func sends[I, T any](id string, call func(c *api.Client, ctx context.Context, in I) (T, error)) operation {
	in := filled[I]()
	return operation{id, []any{in}, filled[T](), func(ctx context.Context, c *api.Client) (any, error) { return call(c, ctx, in) }}
}

func operations() []operation {
	upgrade := filled[api.UpgradeRequest]()
	upgrade.Back = false
	back := api.UpgradeRequest{Back: true, Nodes: []config.NodeID{"lisbon-1"}}
	all := []operation{
		sends("apply", (*api.Client).Apply),
		sends("rollback", (*api.Client).Rollback),
		sends("removeSite", (*api.Client).RemoveSite),
		sends("purge", (*api.Client).Purge),
		sends("removeNode", (*api.Client).RemoveNode),
		sends("changeNode", (*api.Client).ChangeNode),
		sends("createJoinToken", (*api.Client).CreateJoinToken),
		sends("growControl", (*api.Client).Grow),
		sends("createToken", (*api.Client).CreateToken),
		sends("audit", (*api.Client).Audit),
		sends("openTunnel", (*api.Client).OpenTunnel),
		sends("benchPath", (*api.Client).BenchPath),
		asks("paths", func(ctx context.Context, c *api.Client) (api.NodePaths, error) { return c.Paths(ctx, "lisbon-1") }, config.NodeID("lisbon-1")),
		sends("sites", (*api.Client).Sites),
		asks("site", func(ctx context.Context, c *api.Client) (api.SiteDetail, error) { return c.Site(ctx, "a/b c") }, config.SiteName("a/b c")),
		asks("history", func(ctx context.Context, c *api.Client) ([]api.Revision, error) { return c.History(ctx, "network") }, "network"),
		asks("revision", func(ctx context.Context, c *api.Client) (api.RevisionDetail, error) {
			return c.Revision(ctx, "shop", 1<<64-1)
		},
			"shop", uint64(1<<64-1)),
		asks("export", func(ctx context.Context, c *api.Client) (api.Export, error) { return c.Export(ctx, true) }, true),
		asks("rollouts", func(ctx context.Context, c *api.Client) ([]api.Rollout, error) { return c.Rollouts(ctx) }),
		asks("rollout", func(ctx context.Context, c *api.Client) (api.Rollout, error) { return c.Rollout(ctx, "shop/7") }, "shop/7"),
		asks("upgrade", func(ctx context.Context, c *api.Client) (api.ApplyResult, error) {
			return c.Upgrade(ctx, upgrade, strings.NewReader("ELF"))
		}, upgrade, "ELF"),
		asks("upgrade", func(ctx context.Context, c *api.Client) (api.ApplyResult, error) { return c.Upgrade(ctx, back, nil) }, back, ""),
		asks("images", func(ctx context.Context, c *api.Client) ([]api.Image, error) { return c.Images(ctx) }),
		asks("putImage", func(ctx context.Context, c *api.Client) (api.Image, error) {
			return c.PutImage(ctx, feed.HashOf([]byte("ELF")), strings.NewReader("ELF"))
		}, feed.HashOf([]byte("ELF")), "ELF"),
		{"image", []any{feed.HashOf([]byte("ELF"))}, "ELF", func(ctx context.Context, c *api.Client) (any, error) {
			var b strings.Builder
			err := c.Image(ctx, feed.HashOf([]byte("ELF")), &b)
			return b.String(), err
		}},
		asks("secrets", func(ctx context.Context, c *api.Client) ([]api.Secret, error) { return c.Secrets(ctx, "cart") }, config.ProgramName("cart")),
		asks("putSecret", func(ctx context.Context, c *api.Client) (api.Secret, error) {
			return c.PutSecret(ctx, "cart", "API_KEY", strings.NewReader("a secret"))
		}, config.ProgramName("cart"), "API_KEY", "a secret"),
		asks("status", func(ctx context.Context, c *api.Client) (api.Status, error) { return c.Status(ctx) }),
		asks("tokens", func(ctx context.Context, c *api.Client) ([]api.Token, error) { return c.Tokens(ctx) }),
		{"removeToken", []any{"ci?"}, nil, func(ctx context.Context, c *api.Client) (any, error) { return nil, c.RemoveToken(ctx, "ci?") }},
		{"backupControl", []any{}, "a backup", func(ctx context.Context, c *api.Client) (any, error) {
			var b strings.Builder
			err := c.Backup(ctx, &b)
			return b.String(), err
		}},
	}
	for _, how := range []api.Steering{api.Pause, api.Resume, api.Abort} {
		all = append(all, asks(string(how)+"Rollout", func(ctx context.Context, c *api.Client) (api.Rollout, error) {
			return c.SteerRollout(ctx, "r1", how)
		}, "r1", how))
	}
	return all
}

// What the client sends arrives with every field, and so does the answer; both are as the description says.
func TestEveryFieldArrives(t *testing.T) {
	doc := openDescription(t)
	seen := map[string]bool{"nodes": true, "self": true} // below and in TestSelf
	for _, op := range operations() {
		t.Run(op.id, func(t *testing.T) {
			seen[op.id] = true
			s := &recorder{give: op.give}
			c := serve(t, s)
			spy := &spy{next: c.HTTP.Transport}
			c.HTTP = &http.Client{Transport: spy}
			var answer bytes.Buffer
			c.Answer = &answer
			got, err := op.call(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if len(op.sent)+len(s.got) > 0 && !reflect.DeepEqual(s.got, op.sent) {
				t.Errorf("the service got\n%+v, want\n%+v", s.got, op.sent)
			}
			if !reflect.DeepEqual(got, op.give) {
				t.Errorf("the client got\n%+v, want\n%+v", got, op.give)
			}
			if s.actor.Name != "ci" {
				t.Errorf("actor %+v", s.actor)
			}
			doc.check(t, op.id, spy.sent, answer.Bytes())
		})
	}
	for id := range doc.operations {
		if !seen[id] {
			t.Errorf("no test calls %s", id)
		}
	}
	s := &recorder{give: filled[api.Status]()}
	nodes, err := serve(t, s).Nodes(t.Context())
	if err != nil || !reflect.DeepEqual(nodes, s.give.(api.Status).Nodes) {
		t.Errorf("nodes %+v, %v", nodes, err)
	}
}

// Everybody may ask who they are, whatever their token may do.
func TestSelf(t *testing.T) {
	c := serve(t, &recorder{can: []api.Verb{api.Purge}})
	self, err := c.Self(t.Context())
	if want := (api.Self{Name: "ci", Scope: api.Scope{Verbs: []api.Verb{api.Purge}}}); err != nil || !reflect.DeepEqual(self, want) {
		t.Errorf("%+v, %v", self, err)
	}
	c.Token = "nope"
	if _, err := c.Self(t.Context()); err == nil || !strings.Contains(err.Error(), "none of this network's") {
		t.Error(err)
	}
}

// What is wrong with a document comes with its places, for editors.
func TestMistakesHavePlaces(t *testing.T) {
	_, problems := config.ParseSite("shop.yaml", []byte("name: shop\nhosts: [shop.test]\norigins: [{url: nowhere}]\n"))
	s := &recorder{err: fault.New(fault.Client, "apply", http.StatusUnprocessableEntity, fmt.Errorf("%w", problems.Err()))}
	_, err := serve(t, s).Apply(t.Context(), api.ApplyRequest{})
	var p *api.Problem
	if !errors.As(err, &p) || len(p.Errors) != 1 {
		t.Fatalf("%+v", p)
	}
	if m := p.Errors[0]; m.File != "shop.yaml" || m.Line != 3 || m.Column < 2 || m.Detail == "" || !strings.Contains(p.Detail, m.Detail) {
		t.Errorf("%+v of %s", m, p.Detail)
	}
}

// spy keeps the bodies of requests.
type spy struct {
	next http.RoundTripper
	sent []byte
}

func (s *spy) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		s.sent, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(s.sent))
	}
	return s.next.RoundTrip(r)
}

// The client has the Service's methods without the actor.
func TestClientHasAllCalls(t *testing.T) {
	service, client := reflect.TypeFor[api.Service](), reflect.TypeFor[*api.Client]()
	for m := range service.Methods() {
		if m.Name == "Authenticate" {
			continue
		}
		of, ok := client.MethodByName(m.Name)
		if !ok {
			t.Errorf("the client has no %s", m.Name)
			continue
		}
		if of.Type.NumIn()-1 != m.Type.NumIn()-1 || of.Type.NumOut() != m.Type.NumOut() {
			t.Errorf("%s is %s, of the service %s", m.Name, of.Type, m.Type)
			continue
		}
		for i := 2; i < m.Type.NumIn(); i++ { // the service's: context, actor, rest; the client's: receiver, context, rest
			if of.Type.In(i) != m.Type.In(i) {
				t.Errorf("%s takes %s, of the service %s", m.Name, of.Type.In(i), m.Type.In(i))
			}
		}
	}
}

// ask sends one request; fields are NAME: VALUE.
func ask(h http.Handler, method, target, body string, fields ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const (
	bearer   = "Authorization: Bearer secret"
	jsonType = "Content-Type: application/json"
)

func TestRefusals(t *testing.T) {
	for _, tt := range []struct {
		name, method, path, body string
		fields                   []string
		status                   int
		want                     string // a part of the body
	}{
		{"no token", "GET", "/status", "", nil, 401, "has no token"},
		{"another scheme", "GET", "/status", "", []string{"Authorization: Basic secret"}, 401, "has no token"},
		{"wrong token", "GET", "/status", "", []string{"Authorization: Bearer nope"}, 401, "none of this network's."},
		{"nowhere", "GET", "/nowhere", "", []string{bearer}, 404, "openapi.json"},
		{"nowhere without token", "GET", "/nowhere", "", nil, 404, "openapi.json"},
		{"wrong method", "PUT", "/purges", "", []string{bearer}, 405, "Use POST."},
		{"unknown field", "POST", "/purges", `{"kind": "all", "hard": true}`, []string{bearer, jsonType}, 400, `unknown field \"hard\"`},
		{"unknown field of an apply", "POST", "/apply", `{"documents": [], "force": true}`, []string{bearer, jsonType}, 400, `unknown field \"force\"`},
		{"unknown field of a document", "POST", "/apply", `{"documents": [{"nam": "x"}]}`, []string{bearer, jsonType}, 400, `unknown field \"nam\"`},
		{"twice", "POST", "/apply", `{"documents": [], "documents": []}`, []string{bearer, jsonType}, 400, "stands there twice"},
		{"no list", "POST", "/apply", `{"documents": {}}`, []string{bearer, jsonType}, 400, "no list"},
		{"wrong kind", "POST", "/purges", `{"kind": "all", "wait": "10s"}`, []string{bearer, jsonType}, 400, "wait is of the wrong kind, string"},
		{"no kind", "POST", "/purges", `{"kind": "everything"}`, []string{bearer, jsonType}, 400, "no kind of purge"},
		{"waits too long", "POST", "/purges", `{"kind": "all", "wait": 3600000000000}`, []string{bearer, jsonType}, 400, "1h0m0s"},
		{"empty", "POST", "/purges", "", []string{bearer, jsonType}, 400, "it is empty"},
		{"cut", "POST", "/apply", `{"documents": [{"name"`, []string{bearer, jsonType}, 400, "ends too early"},
		{"two", "POST", "/purges", `{"kind": "all"}{"kind": "all"}`, []string{bearer, jsonType}, 400, "follows the object"},
		{"a form", "POST", "/purges", "kind=all", []string{bearer, "Content-Type: text/plain"}, 415, "application/json"},
		{"a program as a form", "POST", "/upgrade", "ELF", []string{bearer}, 415, "application/octet-stream"},
		{"too large", "POST", "/purges", `{"value": "` + strings.Repeat("a", 2<<20), []string{bearer, jsonType}, 413, "1048576 bytes"},
		{"unknown parameter", "GET", "/audit?limt=3", "", []string{bearer}, 400, "limit, subject, actor"},
		{"a parameter where there is none", "GET", "/status?x=1", "", []string{bearer}, 400, "there are none"},
		{"no truth", "GET", "/export?secrets=yes", "", []string{bearer}, 400, "true or false"},
		{"no time", "GET", "/audit?before=yesterday", "", []string{bearer}, 400, "a time of RFC 3339"},
		{"no number", "GET", "/audit?limit=-1", "", []string{bearer}, 400, "not negative"},
		{"twice a parameter", "GET", "/audit?limit=1&limit=2", "", []string{bearer}, 400, "2 times"},
		{"no revision", "GET", "/sites/shop/revisions/latest", "", []string{bearer}, 400, "not the number of a revision"},
		{"revision 0", "GET", "/sites/shop/revisions/0", "", []string{bearer}, 400, "from 1 on"},
		{"another site", "POST", "/sites/shop/rollback", `{"name": "blog"}`, []string{bearer, jsonType}, 400, "names shop and the body blog"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &recorder{}
			w := ask(api.NewHandler(s, quiet), tt.method, api.Prefix+tt.path, tt.body, tt.fields...)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("got %d, want %d with %q in\n%s", w.Code, tt.status, tt.want, w.Body)
			}
			if s.got != nil {
				t.Errorf("the service was asked %v", s.got)
			}
			checkProblem(t, w)
			if (w.Code == 401) != strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%d with WWW-Authenticate %q", w.Code, w.Header().Get("WWW-Authenticate"))
			}
			if (w.Code == 405) != (w.Header().Get("Allow") != "") {
				t.Errorf("%d with Allow %q", w.Code, w.Header().Get("Allow"))
			}
		})
	}
}

func checkProblem(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	var p struct {
		Title, Detail, Action string
		Status                int
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Fatalf("no problem+json: %v, %s", err, w.Body)
	}
	if p.Status != w.Code || p.Title != http.StatusText(w.Code) || p.Detail == "" || p.Action == "" {
		t.Errorf("incomplete problem: %+v", p)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Error("may be stored")
	}
}

// A body may be left out where nothing in it is needed.
func TestBodiesThatMayBeLeftOut(t *testing.T) {
	s := &recorder{}
	h := api.NewHandler(s, quiet)
	if w := ask(h, "POST", api.Prefix+"/sites/shop/rollback", "", bearer); w.Code != 200 || !reflect.DeepEqual(s.got, []any{api.RollbackRequest{Name: "shop"}}) {
		t.Errorf("rollback: %d, %v", w.Code, s.got)
	}
	if w := ask(h, "POST", api.Prefix+"/join-tokens", "", bearer); w.Code != 201 || !reflect.DeepEqual(s.got, []any{api.JoinTokenRequest{}}) {
		t.Errorf("join token: %d, %v", w.Code, s.got)
	}
}

// Each verb opens what the description says, and nothing else.
func TestVerbs(t *testing.T) {
	doc := openDescription(t)
	opens := map[api.Verb][]api.Verb{
		api.Read: {api.Read}, api.Purge: {api.Purge}, api.Deploy: {api.Read, api.Purge, api.Deploy},
		api.Admin: {api.Read, api.Purge, api.Deploy, api.Admin}, "": nil,
	}
	for has, may := range opens {
		s := &recorder{can: []api.Verb{has}}
		c := serve(t, s)
		for _, op := range operations() {
			s.got, s.give = nil, op.give
			_, err := op.call(t.Context(), c)
			needs := api.Verb(doc.operations[op.id].Security[0]["token"][0])
			allowed := false
			for _, v := range may {
				allowed = allowed || v == needs
			}
			if op.id == "export" && has != api.Admin { // this one is with secrets
				allowed = false
			}
			var p *api.Problem
			switch {
			case allowed && err != nil:
				t.Errorf("%s with %q: %v", op.id, has, err)
			case !allowed && (!errors.As(err, &p) || p.Status != http.StatusForbidden || !strings.Contains(p.Action, "--can")):
				t.Errorf("%s with %q: %v, want 403", op.id, has, err)
			}
		}
	}
}

func TestScope(t *testing.T) {
	s := api.Scope{Verbs: []api.Verb{api.Purge}, Sites: []config.SiteName{"shop"}}
	if !s.Of("shop") || s.Of("blog") || !(api.Scope{}).Of("blog") {
		t.Error("sites of a scope")
	}
	if !s.Allows(api.Purge) || s.Allows(api.Read) || (api.Scope{}).Allows(api.Read) {
		t.Error("verbs of a scope")
	}
}

func TestErrorsOfTheService(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want api.Problem
	}{
		{
			"what; what to do", fault.New(fault.Client, "apply", 409, errors.New("shop is at revision 4, not 3; run wherry diff")),
			api.Problem{Title: "Conflict", Status: 409, Detail: "shop is at revision 4, not 3.", Action: "Run wherry diff.", Party: fault.Client},
		},
		{
			"what alone", fault.New(fault.Client, "site", 404, errors.New("there is no site shop")),
			api.Problem{
				Title: "Not Found", Status: 404, Detail: "there is no site shop.", Party: fault.Client,
				Action: "Look at the names that there are: wherry site list, wherry rollout status, wherry node list.",
			},
		},
		{
			"lines", fault.New(fault.Config, "apply", 422, config.Problems{
				{File: "shop", Line: 1, Column: 2, What: "is wrong", Instead: "write x"}, {File: "shop", Line: 2, Column: 2, What: "is wrong", Instead: "write y"},
			}),
			api.Problem{
				Title: "Unprocessable Entity", Status: 422, Detail: "shop:1:2: is wrong; write x\nshop:2:2: is wrong; write y", Party: fault.Config,
				Action: "Correct the request and send it again.",
				Errors: []api.Mistake{
					{File: "shop", Line: 1, Column: 2, Detail: "is wrong", Action: "write x"}, {File: "shop", Line: 2, Column: 2, Detail: "is wrong", Action: "write y"},
				},
			},
		},
		{
			"a bug", errors.New("no such key"),
			api.Problem{
				Title: "Internal Server Error", Status: 500, Detail: "no such key.", Party: fault.Edge,
				Action: "Look at the log of the process that answers; the request can be sent again.",
			},
		},
		{
			"too slow", context.DeadlineExceeded,
			api.Problem{
				Title: "Gateway Timeout", Status: 504, Detail: "context deadline exceeded.", Party: fault.Edge,
				Action: "What was asked for may still happen: look at wherry status before you send it again.",
			},
		},
		{"its own words", &api.Problem{Status: 507, Detail: "full", Action: "free it"}, api.Problem{Title: "Insufficient Storage", Status: 507, Detail: "full", Action: "free it"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := serve(t, &recorder{err: tt.err}).Status(t.Context())
			var p *api.Problem
			if !errors.As(err, &p) || !reflect.DeepEqual(*p, tt.want) {
				t.Errorf("got %+v, want %+v", p, tt.want)
			}
		})
	}
}

// A backup that fails on the way can't be taken for a whole one.
func TestBackupBreaksOff(t *testing.T) {
	s := &recorder{give: "half", err: errors.New("disk gone")}
	c := serve(t, s)
	var b strings.Builder
	err := c.Backup(t.Context(), &b)
	var p *api.Problem
	if !errors.As(err, &p) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q and %v, want that it broke off", b.String(), err)
	}
}

func TestStrangers(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"a page": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"JSON of its own": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `[1`+"]")
		},
		"an error page": http.NotFound,
		"another's problem": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(500)
		},
		"a redirect": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) },
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(h)
			defer server.Close()
			_, err := (&api.Client{Server: server.URL}).Status(t.Context())
			var p *api.Problem
			if !errors.As(err, &p) || !strings.Contains(p.Detail, "no API of Wherry") || p.Action == "" {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNobodyAnswers(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	_, err := (&api.Client{Server: server.URL}).Status(t.Context())
	var p *api.Problem
	if !errors.As(err, &p) || !strings.Contains(p.Detail, "Nothing listens at "+server.URL) {
		t.Errorf("got %v", err)
	}
	if _, err = (&api.Client{Server: "::"}).Status(t.Context()); !errors.As(err, &p) {
		t.Errorf("got %v", err)
	}
	encrypted := httptest.NewTLSServer(http.NotFoundHandler())
	encrypted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	defer encrypted.Close()
	if _, err = (&api.Client{Server: encrypted.URL}).Status(t.Context()); !errors.As(err, &p) || !strings.Contains(p.Action, "--ca-file") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = serve(t, &recorder{}).Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// What is logged says who did what, and holds no secret.
func TestLogAndMetrics(t *testing.T) {
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	h := api.NewHandler(&recorder{}, api.Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Count: api.NewMetrics(registry)})
	ask(h, "POST", api.Prefix+"/apply", `{"documents": [{"name": "shop", "yaml": "hidden", "files": [{"name": "k", "content": "aGlkZGVu"}]}]}`, bearer, jsonType)
	ask(h, "GET", api.Prefix+"/status", "", "Authorization: Bearer hidden")
	if text := log.String(); !strings.Contains(text, "operation=apply") || !strings.Contains(text, "actor=ci") || strings.Contains(text, "secret") ||
		strings.Contains(text, "idden") || strings.Contains(text, "aGlk") {
		t.Errorf("log:\n%s", text)
	}
	want := `
# HELP wherry_api_requests_total Requests to the API by operation, as the description calls it, and status.
# TYPE wherry_api_requests_total counter
wherry_api_requests_total{operation="apply",status="200"} 1
wherry_api_requests_total{operation="status",status="401"} 1
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestUnavailable(t *testing.T) {
	c := serve(t, noControl{})
	for _, op := range operations() {
		_, err := op.call(t.Context(), c)
		var p *api.Problem
		if !errors.As(err, &p) || p.Status != http.StatusNotImplemented || !strings.Contains(p.Detail, "no control") || !strings.Contains(p.Action, "--server") {
			t.Errorf("%s: %v", op.id, err)
		}
	}
}

// noControl knows who asks, and no more.
type noControl struct{ api.Unavailable }

func (noControl) Authenticate(context.Context, string) (api.Actor, error) {
	return api.Actor{Name: "operator", Can: api.Scope{Verbs: []api.Verb{api.Admin}}}, nil
}

// Documents of an apply are read one by one, as encoding/json would read them at once.
func FuzzApplyBody(f *testing.F) {
	for _, body := range []string{
		`{"documents": [{"name": "shop", "yaml": "a", "base": 3, "files": [{"name": "k", "content": "aGk="}]}, {"name": "network", "yaml": "b"}], "message": "m", "wait": true}`,
		`{"documents": null}`, `{"documents": []}`, `{}`, `[]`, `null`, ``, `{"documents": [{]}`, `{"documents": [1]}`, `{"dry_run": true, "emergency": 1}`, `{} {}`,
		`{"documents": [], "x": 1}`, `{"message": null, "message": "a"}`, `{"documents": [null]}`, `{"a`,
	} {
		f.Add(body)
	}
	s := &recorder{}
	h := api.NewHandler(s, quiet)
	f.Fuzz(func(t *testing.T, body string) {
		s.got = nil
		w := ask(h, "POST", api.Prefix+"/apply", body, bearer, jsonType)
		if w.Code != 200 {
			if w.Code != 400 || s.got != nil {
				t.Fatalf("%q: %d", body, w.Code)
			}
			return
		}
		var want api.ApplyRequest
		d := json.NewDecoder(strings.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&want); err != nil {
			t.Fatalf("%q: accepted, but %v", body, err)
		}
		if !reflect.DeepEqual(s.got, []any{want}) {
			t.Errorf("%q: got %+v, want %+v", body, s.got, want)
		}
	})
}
