package config

import (
	"cmp"
	"embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/wherry/wherry/config/programs"
	"github.com/wherry/wherry/config/spell"
	"github.com/wherry/wherry/config/typo"
)

//go:embed model.go model_site.go
var modelSource embed.FS

// Grammar is the model as its types and comments describe it: what Parse enforces and what Schema and Reference show.
type Grammar struct {
	Shapes map[reflect.Type]*Shape
	Order  []*Shape // Network first, then as they are first used
}

// Shape is one struct of the model: a mapping in the file.
type Shape struct {
	Name   string // of the Go type
	Path   string // where it stands first, such as sites[].fetch
	Text   string
	Fields []*Field
	keys   map[string]*Field
}

// Field is one key of a mapping.
type Field struct {
	name  string // of the Go field
	Key   string
	index int
	List  bool
	Names *Form        // how the keys of a mapping by name are written; nil if it is none
	Leaf  reflect.Type // the type behind list, mapping by name and pointer
	Form  *Form        // how a leaf is written; nil if the leaf is a struct

	Text      string
	Fallback  string // as the comment says it
	Required  bool
	OneOf     []string
	Low, High string // the ends of the range as the comment says them, or empty

	Preset   reflect.Value // what fallback means; invalid if it isn't a plain value
	Min, Max reflect.Value // what low and high mean
}

// NewGrammar reads the model's files. An error is a mistake in them.
func NewGrammar() (*Grammar, error) {
	comments := map[string]string{}
	for _, of := range []struct {
		source embed.FS
		name   string
	}{{modelSource, "model.go"}, {modelSource, "model_site.go"}, {programs.Source, programs.SourceName}} {
		if err := readComments(of.source, of.name, comments); err != nil {
			return nil, fmt.Errorf("read the model: %w", err)
		}
	}
	g := &Grammar{Shapes: map[reflect.Type]*Shape{}}
	if err := g.add(reflect.TypeFor[Network](), "", comments); err != nil {
		return nil, fmt.Errorf("read the model: %w", err)
	}
	return g, nil
}

func readComments(from embed.FS, name string, comments map[string]string) error {
	source, err := from.ReadFile(name)
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
var mustGrammar = sync.OnceValue(func() *Grammar {
	g, err := NewGrammar()
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return g
})

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

func (g *Grammar) add(t reflect.Type, path string, comments map[string]string) error {
	if g.Shapes[t] != nil {
		return nil
	}
	s := &Shape{Name: t.Name(), Path: path, Text: paragraphs(comments[t.Name()]), keys: map[string]*Field{}}
	g.Shapes[t], g.Order = s, append(g.Order, s)
	for i := range t.NumField() {
		f, err := newField(t, i, comments)
		if err != nil {
			return err
		}
		s.Fields, s.keys[f.Key] = append(s.Fields, f), f
	}
	for _, f := range s.Fields {
		if f.Form != nil {
			continue
		}
		below := join(path, f.Key)
		if f.List {
			below += "[]"
		} else if f.Names != nil {
			below += ".NAME"
		}
		if err := g.add(f.Leaf, below, comments); err != nil {
			return err
		}
	}
	return nil
}

func newField(t reflect.Type, index int, comments map[string]string) (*Field, error) {
	sf := t.Field(index)
	f := &Field{name: sf.Name, Key: sf.Tag.Get("yaml"), index: index, Leaf: sf.Type}
	if f.Key == "" {
		return nil, fmt.Errorf("%s.%s has no key", t.Name(), sf.Name)
	}
	switch f.Leaf.Kind() {
	case reflect.Slice:
		f.List, f.Leaf = true, f.Leaf.Elem()
	case reflect.Map:
		names, err := formOf(t.Name(), sf.Name+" by name", f.Leaf.Key())
		if err != nil {
			return nil, err
		}
		f.Names, f.Leaf = &names, f.Leaf.Elem()
	}
	if f.Leaf.Kind() == reflect.Pointer {
		f.Leaf = f.Leaf.Elem()
	}
	f.read(comments[t.Name()+"."+sf.Name])
	if f.Leaf.Kind() == reflect.Struct && strings.HasPrefix(f.Leaf.PkgPath(), reflect.TypeFor[Network]().PkgPath()) {
		return f, nil
	}
	form, err := formOf(t.Name(), sf.Name, f.Leaf)
	if err != nil {
		return nil, err
	}
	f.Form = &form
	if len(f.OneOf) > 0 && form.Example == "" {
		f.Form.Example = f.OneOf[0]
	}
	// A default with a word in capitals, such as hostmaster@ZONE, depends on other values: complete fills it in, or who uses it.
	if f.Fallback != "" && !f.List && !dependent.MatchString(f.Fallback) {
		if f.Preset, err = f.Constant(f.Fallback); err != nil {
			return nil, fmt.Errorf("default of %s.%s: %w", t.Name(), sf.Name, err)
		}
	}
	if f.Low != "" {
		if f.Min, err = f.Constant(f.Low); err == nil {
			f.Max, err = f.Constant(f.High)
		}
		if err != nil {
			return nil, fmt.Errorf("range of %s.%s: %w", t.Name(), sf.Name, err)
		}
		if example, err := f.Constant(form.Example); err == nil && less(example, f.Min) {
			f.Form.Example = f.Low
		}
	}
	return f, nil
}

var dependent = regexp.MustCompile(`\b(ZONE|NAME|ORIGINS|NOBODY|ALL|NONE|PROGRAM)\b`)

func (f *Field) Constant(text string) (reflect.Value, error) {
	v, m := f.Form.parse(text)
	if m != nil {
		return reflect.Value{}, fmt.Errorf("%s", m.what)
	}
	return reflect.ValueOf(v).Convert(f.Leaf), nil
}

// read takes a field's comment apart into its text and the lines that say what holds for the value.
func (f *Field) read(comment string) {
	var text []string
	for line := range strings.Lines(comment) {
		line = strings.TrimSpace(line)
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "required":
			f.Required = true
		case name == "default":
			f.Fallback = value
		case name == "range":
			f.Low, f.High, _ = strings.Cut(value, " to ")
		case name == "one of":
			f.OneOf = strings.Split(value, ", ")
		default:
			text = append(text, line)
		}
	}
	f.Text = paragraphs(strings.Join(text, "\n"))
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
func (f *Field) wrong(v reflect.Value, text string) *mistake {
	if len(f.OneOf) > 0 && !slices.Contains(f.OneOf, text) {
		instead := "write " + spell.Either(f.OneOf)
		if near := typo.Closest(text, f.OneOf); near != "" && v.Kind() == reflect.String {
			instead = "did you mean " + near + "? Possible are " + spell.Either(f.OneOf)
		}
		return &mistake{quoted(text) + " is not possible here", instead}
	}
	if f.Min.IsValid() && (less(v, f.Min) || less(f.Max, v)) {
		side := "more"
		if less(v, f.Min) {
			side = "less"
		}
		return &mistake{quoted(text) + " is " + side + " than allowed", "write a value from " + f.Low + " to " + f.High}
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
func (g *Grammar) preset(v reflect.Value) {
	for _, f := range g.Shapes[v.Type()].Fields {
		target := v.Field(f.index)
		switch {
		case target.Kind() == reflect.Pointer, f.List, f.Names != nil:
			// A pointer is how the model says that left open is something of its own.
		case f.Form == nil:
			if !laidOver(v.Type(), f) {
				g.preset(target)
			}
		case f.Preset.IsValid():
			target.Set(f.Preset)
		}
	}
}

// laidOver says whether a struct keeps its gaps because something else shows through them: Site.Caching lays the caching of a
// rule over that of its site over the defaults, Network.ListenAt the addresses of a node over those of the network.
func laidOver(owner reflect.Type, f *Field) bool {
	return f.Leaf == reflect.TypeFor[Cache]() || f.Leaf == reflect.TypeFor[Listen]() && owner == reflect.TypeFor[Node]()
}

// owners returns the paths of the mappings that know key.
func (g *Grammar) owners(key string) []string {
	var paths []string
	for _, s := range g.Order {
		if s.keys[key] != nil {
			paths = append(paths, cmp.Or(s.Path, "the top level"))
		}
	}
	return paths
}
