package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/wherry/wherry/control/api"
)

// description is the OpenAPI document as a client generator reads it.
type description struct {
	OpenAPI string `json:"openapi"`
	Info    struct{ Title, Version, Description string }
	Servers []struct{ URL string }
	Paths   map[string]map[string]*described

	whole      any
	compiler   *jsonschema.Compiler
	operations map[string]*described
}

type described struct {
	OperationID string
	Summary     string
	Security    []map[string][]string
	Parameters  []struct {
		Name, In string
		Required bool
		Schema   map[string]any
	}
	RequestBody *struct {
		Required bool
		Content  map[string]media
	}
	Responses map[string]struct {
		Description string
		Content     map[string]media
	}

	method, path string
}

type media struct{ Schema json.RawMessage }

const base = "https://wherry.test/openapi.json"

func openDescription(t *testing.T) *description {
	t.Helper()
	w := ask(api.NewHandler(&recorder{}, api.Options{Version: "1.2.3", Log: quiet.Log}), "GET", api.Prefix+"/openapi.json", "")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	d := &description{operations: map[string]*described{}, compiler: jsonschema.NewCompiler()}
	if err := json.Unmarshal(w.Body.Bytes(), d); err != nil {
		t.Fatal(err)
	}
	var err error
	if d.whole, err = jsonschema.UnmarshalJSON(bytes.NewReader(w.Body.Bytes())); err != nil {
		t.Fatal(err)
	}
	d.compiler.DefaultDraft(jsonschema.Draft2020)
	if err := d.compiler.AddResource(base, d.whole); err != nil {
		t.Fatal(err)
	}
	for path, item := range d.Paths {
		for method, op := range item {
			op.method, op.path = strings.ToUpper(method), path
			d.operations[op.OperationID] = op
		}
	}
	return d
}

// check compares what was sent and answered with the schemas of an operation.
func (d *description) check(t *testing.T, id string, sent, answered []byte) {
	t.Helper()
	op := d.operations[id]
	if op == nil {
		t.Fatalf("%s isn't in the description", id)
	}
	if op.RequestBody != nil {
		d.validate(t, "request", op.RequestBody.Content, sent)
	}
	for status, r := range op.Responses {
		if status != "default" {
			d.validate(t, "answer", r.Content, answered)
		}
	}
}

func (d *description) validate(t *testing.T, what string, content map[string]media, body []byte) {
	t.Helper()
	m, ok := content["application/json"]
	if !ok {
		return
	}
	var schema any = map[string]any{}
	if err := json.Unmarshal(bytes.ReplaceAll(m.Schema, []byte(`"#/`), []byte(`"`+base+`#/`)), &schema); err != nil {
		t.Fatal(err)
	}
	at := "https://wherry.test/" + strings.NewReplacer("/", "_", "#", "_").Replace(t.Name()) + what
	if err := d.compiler.AddResource(at, schema); err != nil {
		t.Fatal(err)
	}
	s, err := d.compiler.Compile(at)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(v); err != nil {
		t.Errorf("%s isn't as described: %v\n%s", what, err, body)
	}
}

func TestDescription(t *testing.T) {
	d := openDescription(t)
	if !strings.HasPrefix(d.OpenAPI, "3.1.") || d.Info.Title == "" || d.Info.Version != "1.2.3" || len(d.Servers) != 1 || d.Servers[0].URL != api.Prefix {
		t.Errorf("head: %+v", d)
	}
	h := api.NewHandler(&recorder{}, quiet)
	named := regexp.MustCompile(`\{(\w+)\}`)
	count := 0
	for path, item := range d.Paths {
		for _, op := range item {
			count++
			if op.OperationID == "" || op.Summary == "" || d.operations[op.OperationID] != op {
				t.Errorf("%s %s: no name of its own: %+v", op.method, path, op)
			}
			if verbs := op.Security[0]["token"]; len(op.Security) != 1 || len(verbs) != 1 && op.OperationID != "self" {
				t.Errorf("%s: security %v", op.OperationID, op.Security)
			}
			var inPath []string
			for _, p := range op.Parameters {
				if p.In == "path" {
					inPath = append(inPath, "{"+p.Name+"}")
					if !p.Required {
						t.Errorf("%s: %s isn't required", op.OperationID, p.Name)
					}
				}
				if p.Schema["type"] == nil {
					t.Errorf("%s: %s has no type", op.OperationID, p.Name)
				}
			}
			if found := named.FindAllString(path, -1); !slices.Equal(found, inPath) {
				t.Errorf("%s: parameters %v of %s", op.OperationID, inPath, path)
			}
			if _, ok := op.Responses["default"].Content["application/problem+json"]; !ok || len(op.Responses) != 2 {
				t.Errorf("%s: responses %v", op.OperationID, op.Responses)
			}
			// It is there: without a token it is refused, not unknown.
			if w := ask(h, op.method, api.Prefix+strings.NewReplacer("{", "", "}", "").Replace(path), ""); w.Code != http.StatusUnauthorized {
				t.Errorf("%s %s: %d", op.method, path, w.Code)
			}
		}
	}
	if routes := api.Routes(); len(routes) != count {
		t.Errorf("%d routes, %d described", len(routes), count)
	} else {
		for _, r := range routes {
			method, path, _ := strings.Cut(r, " ")
			if d.Paths[path][strings.ToLower(method)] == nil {
				t.Errorf("%s isn't described", r)
			}
		}
	}
	checkReferences(t, d.whole, d.whole)
	if _, err := d.compiler.Compile(base + "#/components/schemas/Status"); err != nil {
		t.Error(err)
	}
}

// checkReferences looks at each $ref in v.
func checkReferences(t *testing.T, whole, v any) {
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			at := whole
			for _, name := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
				in, _ := at.(map[string]any)
				at = in[name]
			}
			if at == nil {
				t.Errorf("%s leads nowhere", ref)
			}
		}
		for _, child := range v {
			checkReferences(t, whole, child)
		}
	case []any:
		for _, child := range v {
			checkReferences(t, whole, child)
		}
	}
}

// What Go's types alone don't say stands in the description.
func TestDescriptionIsTrue(t *testing.T) {
	schema := func(path ...string) map[string]any {
		at := openDescription(t).whole.(map[string]any)["components"].(map[string]any)["schemas"].(map[string]any)
		for _, name := range path {
			at, _ = at[name].(map[string]any)
		}
		return at
	}
	for _, tt := range []struct {
		path      []string
		key, want string
	}{
		{[]string{"ApplyResult", "properties", "took"}, "description", "nanoseconds"},
		{[]string{"JoinTokenRequest", "properties", "life"}, "description", "nanoseconds; default 1 h"},
		{[]string{"PurgeRequest", "properties", "wait"}, "description", "nanoseconds: for confirmations, at most; default 10 s"},
		{[]string{"Revision", "properties", "hash"}, "pattern", "^[0-9a-f]{64}$"},
		{[]string{"Site", "properties", "revision"}, "format", "uint64"},
		{[]string{"SiteDetail", "properties", "revision"}, "description", "that holds"},
		{[]string{"Site"}, "description", "is a site in a list."},
		{[]string{"File", "properties", "content"}, "contentEncoding", "base64"},
	} {
		if got := schema(tt.path...)[tt.key]; got != tt.want {
			t.Errorf("%v %s: %v, want %q", tt.path, tt.key, got, tt.want)
		}
	}
	if got := schema("Document")["additionalProperties"]; got != false {
		t.Errorf("a request may have fields that are refused: %v", got)
	}
	if got, ok := schema("Status")["additionalProperties"]; ok {
		t.Errorf("an answer may have no new fields: %v", got)
	}
	if enum, _ := schema("Scope", "properties", "verbs", "items")["enum"].([]any); len(enum) != 4 {
		t.Errorf("verbs %v", enum)
	}
	if required, _ := schema("RollbackRequest")["required"].([]any); len(required) != 0 {
		t.Errorf("a rollback needs %v in its body", required)
	}
}

func TestDescriptionInYAML(t *testing.T) {
	w := ask(api.NewHandler(&recorder{}, quiet), "GET", api.Prefix+"/openapi.yaml", "")
	var doc struct{ OpenAPI string }
	if err := yaml.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != 200 {
		t.Errorf("%d, %v", w.Code, err)
	}
	if !strings.HasPrefix(w.Body.String(), "openapi: ") && !strings.Contains(w.Body.String(), "\nopenapi: ") {
		t.Errorf("%.200s", w.Body)
	}
}
