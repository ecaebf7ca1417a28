package api

import (
	_ "embed"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

const (
	schemaPrefix = "#/components/schemas/"
	schemeName   = "token"
)

// description is the OpenAPI 3.1 document: the routes and the types that they take and answer.
type description struct{ asJSON, asYAML []byte }

func describe(version string) (d description) {
	doc := newDocument(version)
	var err error
	if d.asJSON, err = json.Marshal(doc); err != nil {
		panic("BUG: api: " + err.Error())
	}
	if d.asYAML, err = doc.YAML(); err != nil {
		panic("BUG: api: " + err.Error())
	}
	return d
}

func newDocument(version string) *huma.OpenAPI {
	schemas := huma.NewMapRegistry(schemaPrefix, huma.DefaultSchemaNamer)
	for _, a := range aliases {
		schemas.RegisterTypeAlias(a.of, a.is)
	}
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Wherry", Version: version,
			Description: "What people and programs ask control for. Errors are problems (RFC 9457) that say in `action` what to do next. Fields that an " +
				"operation doesn't know are refused. In answers, new fields may come.",
		},
		Servers: []*huma.Server{{URL: Prefix}},
		Components: &huma.Components{
			Schemas: schemas,
			SecuritySchemes: map[string]*huma.SecurityScheme{schemeName: {
				Type: "http", Scheme: "bearer",
				Description: "A token of `wherry token create`. The role at an operation is the verb that the token needs, if it needs one: read, purge, deploy (which may also read " +
					"and purge) or admin (which may all). A token may be for some sites only.",
			}},
		},
	}
	asked := map[string]bool{} // schemas of bodies of requests
	for _, r := range routes() {
		doc.AddOperation(operation(r, schemas, asked))
	}
	comments := readComments()
	for name, s := range schemas.Map() {
		comments.describe(s, schemas.TypeFromRef(schemaPrefix+name))
		if !asked[name] {
			s.AdditionalProperties = nil
		}
	}
	return doc
}

var pathParam = regexp.MustCompile(`\{(\w+)\}`)

func operation(r route, schemas huma.Registry, asked map[string]bool) *huma.Operation {
	roles := []string{}
	if r.verb != "" {
		roles = append(roles, string(r.verb))
	}
	op := &huma.Operation{
		Method: r.method, Path: r.path, OperationID: r.id, Summary: r.summary, Description: r.about,
		Security:  []map[string][]string{{schemeName: roles}},
		Responses: map[string]*huma.Response{"default": {Description: "What is wrong, and what to do", Content: content(schemas, "application/problem+json", Problem{})}},
	}
	for _, found := range pathParam.FindAllStringSubmatch(r.path, -1) {
		s := &huma.Schema{Type: huma.TypeString}
		if found[1] == "number" {
			s = new(unsigned).Schema(schemas)
		}
		op.Parameters = append(op.Parameters, &huma.Param{Name: found[1], In: "path", Required: true, Schema: s})
	}
	for _, p := range r.query {
		s := &huma.Schema{Type: string(p.kind)}
		switch p.kind {
		case list:
			s.Items = &huma.Schema{Type: huma.TypeString}
		case number:
			s.Minimum = new(float64)
		case moment:
			s.Type, s.Format = huma.TypeString, string(moment)
		}
		op.Parameters = append(op.Parameters, &huma.Param{Name: p.name, In: "query", Description: p.doc, Schema: s})
	}
	if r.in != nil {
		op.RequestBody = &huma.RequestBody{Required: !r.optional, Content: content(schemas, "application/json", r.in)}
		reach(schemas, op.RequestBody.Content, asked)
		if _, ok := r.in.(RollbackRequest); ok { // the path has its name
			schemas.Map()["RollbackRequest"].Required = nil
		}
	}
	status := r.status
	if status == 0 {
		status = http.StatusOK
	}
	answer := &huma.Response{Description: http.StatusText(status)}
	if r.out != nil {
		answer.Content = content(schemas, "application/json", r.out)
	}
	op.Responses[strconv.Itoa(status)] = answer
	return op
}

func content(schemas huma.Registry, kind string, v any) map[string]*huma.MediaType {
	if v == any(octets{}) {
		return map[string]*huma.MediaType{"application/octet-stream": {}} // OpenAPI 3.1 §4.8.14.3: bytes need no schema
	}
	return map[string]*huma.MediaType{kind: {Schema: schemas.Schema(reflect.TypeOf(v), true, "")}}
}

// reach notes the names of all schemas that content leads to.
func reach(schemas huma.Registry, content map[string]*huma.MediaType, names map[string]bool) {
	var walk func(s *huma.Schema)
	walk = func(s *huma.Schema) {
		if s == nil {
			return
		}
		if name, ok := strings.CutPrefix(s.Ref, schemaPrefix); ok && !names[name] {
			names[name] = true
			walk(schemas.Map()[name])
		}
		walk(s.Items)
		for _, p := range s.Properties {
			walk(p)
		}
		if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
			walk(more)
		}
	}
	for _, m := range content {
		walk(m.Schema)
	}
}

// aliases are types whose JSON isn't what their Go kind says, or is less than that.
var aliases = []struct{ of, is reflect.Type }{
	{reflect.TypeFor[time.Duration](), reflect.TypeFor[nanoseconds]()},
	{reflect.TypeFor[uint64](), reflect.TypeFor[unsigned]()},
	{reflect.TypeFor[feed.Hash](), reflect.TypeFor[hash]()},
	{reflect.TypeFor[Verb](), reflect.TypeFor[verbs]()},
	{reflect.TypeFor[feed.Role](), reflect.TypeFor[roles]()},
	{reflect.TypeFor[feed.PurgeKind](), reflect.TypeFor[purgeKinds]()},
	{reflect.TypeFor[config.HostPattern](), reflect.TypeFor[hostPattern]()},
}

type (
	nanoseconds struct{}
	unsigned    struct{}
	hash        struct{}
	verbs       struct{}
	roles       struct{}
	purgeKinds  struct{}
	hostPattern struct{}
)

// Schema implements huma.SchemaProvider, as the others do.
func (*nanoseconds) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeInteger, Format: "int64", Description: "nanoseconds"}
}

// Schema says that it may have all 64 bits.
func (*unsigned) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeInteger, Format: "uint64", Minimum: new(float64)}
}

// Schema is that of a hash in text.
func (*hash) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: "^[0-9a-f]{64}$", Description: "a SHA-256"}
}

// Schema lists the verbs.
func (*verbs) Schema(huma.Registry) *huma.Schema { return oneOf(Read, Purge, Deploy, Admin) }

// Schema lists the roles.
func (*roles) Schema(huma.Registry) *huma.Schema {
	return oneOf(feed.RoleControl, feed.RoleEdge, feed.RoleDNS, feed.RoleCollect, feed.RoleRelay)
}

// Schema lists the kinds of purges.
func (*purgeKinds) Schema(huma.Registry) *huma.Schema {
	s := oneOf(feed.PurgeURL, feed.PurgePrefix, feed.PurgeTag, feed.PurgeSite, feed.PurgeAll)
	s.Description = "url and prefix take an absolute URL in `value`, tag a tag in `value` and maybe a `site`, site a `site`, all nothing"
	return s
}

// Schema says what a pattern is.
func (*hostPattern) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: "a host name, *.NAME for all below it, or * for all that no other site claims"}
}

func oneOf[T ~string](values ...T) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	for _, v := range values {
		s.Enum = append(s.Enum, string(v))
	}
	return s
}

//go:embed api.go
var source string

// comments are what api.go says of types and of their fields, by TYPE or TYPE.FIELD.
type comments map[string]string

func readComments() comments {
	file, err := parser.ParseFile(token.NewFileSet(), "api.go", source, parser.ParseComments)
	if err != nil {
		panic("BUG: api: " + err.Error())
	}
	all := comments{}
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.TYPE {
			continue
		}
		for _, spec := range g.Specs {
			t, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			all[t.Name.Name] = oneLine(g.Doc)
			s, ok := t.Type.(*ast.StructType)
			if !ok {
				continue
			}
			for _, f := range s.Fields.List {
				for _, name := range f.Names {
					all[t.Name.Name+"."+name.Name] = strings.TrimSpace(oneLine(f.Doc) + " " + oneLine(f.Comment))
				}
			}
		}
	}
	return all
}

func oneLine(g *ast.CommentGroup) string { return strings.Join(strings.Fields(g.Text()), " ") }

// describe adds to the schema of t what its comments say.
func (c comments) describe(s *huma.Schema, t reflect.Type) {
	if text, ok := strings.CutPrefix(c[t.Name()], t.Name()+" "); ok && ours(t) {
		s.Description = text
	}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		p := s.Properties[name]
		if p == nil {
			continue
		}
		in := t
		for _, i := range f.Index[:len(f.Index)-1] {
			in = in.Field(i).Type
		}
		text := c[in.Name()+"."+f.Name]
		if text == "" || !ours(in) {
			continue
		}
		if p.Description != "" && !strings.Contains(text, p.Description) {
			text = p.Description + ": " + text
		}
		p.Description = text
	}
}

func ours(t reflect.Type) bool { return t.PkgPath() == reflect.TypeFor[Status]().PkgPath() }
