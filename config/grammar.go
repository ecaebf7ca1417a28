package config

import (
	"cmp"
	"embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strings"
)

//go:embed model.go model_site.go
var modelSource embed.FS

// grammar is the model as its types and comments describe it: what Parse enforces and what Schema and Reference show.
type grammar struct {
	shapes map[reflect.Type]*shape
	order  []*shape // Network first, then as they are first used
}

// shape is one struct of the model: a mapping in the file.
type shape struct {
	name   string // of the Go type
	path   string // where it stands first, such as sites[].fetch
	text   string
	fields []*field
	keys   map[string]*field
}

// field is one key of a mapping.
type field struct {
	name  string // of the Go field
	key   string
	index int
	list  bool
	leaf  reflect.Type // the type behind list and pointer
	form  *form        // how a leaf is written; nil if the leaf is a struct

	text      string
	fallback  string // as the comment says it
	required  bool
	oneOf     []string
	low, high string // the ends of the range as the comment says them, or empty

	preset   reflect.Value // what fallback means; invalid if it isn't a plain value
	min, max reflect.Value // what low and high mean
}

// newGrammar reads the model's files. An error is a mistake in them.
func newGrammar() (*grammar, error) {
	comments := map[string]string{}
	for _, name := range [...]string{"model.go", "model_site.go"} {
		if err := readComments(name, comments); err != nil {
			return nil, fmt.Errorf("read the model: %w", err)
		}
	}
	g := &grammar{shapes: map[reflect.Type]*shape{}}
	if err := g.add(reflect.TypeFor[Network](), "", comments); err != nil {
		return nil, fmt.Errorf("read the model: %w", err)
	}
	return g, nil
}

func readComments(name string, comments map[string]string) error {
	source, err := modelSource.ReadFile(name)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ParseComments)
	if err != nil {
		return err
	}
	for _, decl := range file.Decls {
		g, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range g.Specs {
			if t, ok := spec.(*ast.TypeSpec); ok {
				comments[t.Name.Name] = g.Doc.Text()
				addFieldComments(comments, t)
			}
		}
	}
	return nil
}

// mustGrammar is newGrammar for who can't go on without: the model is part of the program and any test finds a mistake in it.
func mustGrammar() *grammar {
	g, err := newGrammar()
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return g
}

func addFieldComments(comments map[string]string, t *ast.TypeSpec) {
	s, ok := t.Type.(*ast.StructType)
	if !ok {
		return
	}
	for _, f := range s.Fields.List {
		for _, name := range f.Names {
			comments[t.Name.Name+"."+name.Name] = f.Doc.Text()
		}
	}
}

func (g *grammar) add(t reflect.Type, path string, comments map[string]string) error {
	if g.shapes[t] != nil {
		return nil
	}
	s := &shape{name: t.Name(), path: path, text: paragraphs(comments[t.Name()]), keys: map[string]*field{}}
	g.shapes[t], g.order = s, append(g.order, s)
	for i := range t.NumField() {
		f, err := newField(t, i, comments)
		if err != nil {
			return err
		}
		s.fields, s.keys[f.key] = append(s.fields, f), f
	}
	for _, f := range s.fields {
		if f.form != nil {
			continue
		}
		below := join(path, f.key)
		if f.list {
			below += "[]"
		}
		if err := g.add(f.leaf, below, comments); err != nil {
			return err
		}
	}
	return nil
}

func newField(t reflect.Type, index int, comments map[string]string) (*field, error) {
	sf := t.Field(index)
	f := &field{name: sf.Name, key: sf.Tag.Get("yaml"), index: index, leaf: sf.Type}
	if f.key == "" {
		return nil, fmt.Errorf("%s.%s has no key", t.Name(), sf.Name)
	}
	if f.leaf.Kind() == reflect.Slice {
		f.list, f.leaf = true, f.leaf.Elem()
	}
	if f.leaf.Kind() == reflect.Pointer {
		f.leaf = f.leaf.Elem()
	}
	f.read(comments[t.Name()+"."+sf.Name])
	if f.leaf.Kind() == reflect.Struct && f.leaf.PkgPath() == t.PkgPath() {
		return f, nil
	}
	form, err := formOf(t.Name(), sf.Name, f.leaf)
	if err != nil {
		return nil, err
	}
	f.form = &form
	if len(f.oneOf) > 0 && form.example == "" {
		f.form.example = f.oneOf[0]
	}
	// A default with a word in capitals, such as hostmaster@ZONE, depends on other values: complete fills it in.
	if f.fallback != "" && !f.list && !strings.Contains(f.fallback, "ZONE") {
		if f.preset, err = f.constant(f.fallback); err != nil {
			return nil, fmt.Errorf("default of %s.%s: %w", t.Name(), sf.Name, err)
		}
	}
	if f.low != "" {
		if f.min, err = f.constant(f.low); err == nil {
			f.max, err = f.constant(f.high)
		}
		if err != nil {
			return nil, fmt.Errorf("range of %s.%s: %w", t.Name(), sf.Name, err)
		}
		if example, err := f.constant(form.example); err == nil && less(example, f.min) {
			f.form.example = f.low
		}
	}
	return f, nil
}

func (f *field) constant(text string) (reflect.Value, error) {
	v, m := f.form.parse(text)
	if m != nil {
		return reflect.Value{}, fmt.Errorf("%s", m.what)
	}
	return reflect.ValueOf(v).Convert(f.leaf), nil
}

// read takes a field's comment apart into its text and the lines that say what holds for the value.
func (f *field) read(comment string) {
	var text []string
	for line := range strings.Lines(comment) {
		line = strings.TrimSpace(line)
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "required":
			f.required = true
		case name == "default":
			f.fallback = value
		case name == "range":
			f.low, f.high, _ = strings.Cut(value, " to ")
		case name == "one of":
			f.oneOf = strings.Split(value, ", ")
		default:
			text = append(text, line)
		}
	}
	f.text = paragraphs(strings.Join(text, "\n"))
}

// paragraphs joins the lines of each paragraph.
func paragraphs(comment string) string {
	all := strings.Split(strings.TrimSpace(comment), "\n\n")
	for i, p := range all {
		all[i] = strings.Join(strings.Fields(p), " ")
	}
	return strings.Join(all, "\n\n")
}

// join appends a key to a path.
func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// wrong says why v, a right value of the field's form, is not allowed here, or returns nil.
func (f *field) wrong(v reflect.Value, text string) *mistake {
	if len(f.oneOf) > 0 && !slices.Contains(f.oneOf, text) {
		instead := "write " + either(f.oneOf)
		if near := closest(text, f.oneOf); near != "" && v.Kind() == reflect.String {
			instead = "did you mean " + near + "? Possible are " + either(f.oneOf)
		}
		return &mistake{quoted(text) + " is not possible here", instead}
	}
	if f.min.IsValid() && (less(v, f.min) || less(f.max, v)) {
		side := "more"
		if less(v, f.min) {
			side = "less"
		}
		return &mistake{quoted(text) + " is " + side + " than allowed", "write a value from " + f.low + " to " + f.high}
	}
	return nil
}

func less(a, b reflect.Value) bool {
	if a.CanFloat() {
		return a.Float() < b.Float()
	}
	return a.Int() < b.Int()
}

// preset fills in the defaults of a new value of the model and of the structs inside it.
func (g *grammar) preset(v reflect.Value) {
	for _, f := range g.shapes[v.Type()].fields {
		target := v.Field(f.index)
		switch {
		case target.Kind() == reflect.Pointer, f.list:
			// A pointer is how the model says that left open is something of its own.
		case f.form == nil:
			if !laidOver(v.Type(), f) {
				g.preset(target)
			}
		case f.preset.IsValid():
			target.Set(f.preset)
		}
	}
}

// laidOver says whether a struct keeps its gaps because something else shows through them: Site.Caching lays the caching of a
// rule over that of its site over the defaults, Network.ListenAt the addresses of a node over those of the network.
func laidOver(owner reflect.Type, f *field) bool {
	return f.leaf == reflect.TypeFor[Cache]() || f.leaf == reflect.TypeFor[Listen]() && owner == reflect.TypeFor[Node]()
}

// owners returns the paths of the mappings that know key.
func (g *grammar) owners(key string) []string {
	var paths []string
	for _, s := range g.order {
		if s.keys[key] != nil {
			paths = append(paths, cmp.Or(s.path, "the top level"))
		}
	}
	return paths
}
