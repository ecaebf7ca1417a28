package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/wherry/wherry/config/typo"
)

// walk decodes a YAML tree into the model along the model's types, reports what doesn't fit and goes on.
type walk struct {
	grammar  *Grammar
	report   *collector
	places   map[string]place // of every value, by path
	through  *place           // the outermost alias by which the walk came here, or nil: that is where the value stands
	expanded int              // values so far behind aliases
	part     bool             // what stands elsewhere isn't required: sites and nodes of a network, name and addresses of a node
}

func (w *walk) at(n *yaml.Node) place {
	if w.through != nil {
		return *w.through
	}
	return nodePlace(n)
}

// value decodes n into out, the field f or one entry of it. A new value behind a pointer or in a list gets its defaults first.
func (w *walk) value(path string, n *yaml.Node, f *Field, out reflect.Value) {
	outer := w.through
	defer func() { w.through = outer }()
	w.places[path] = w.at(n)
	if n.Kind == yaml.AliasNode {
		if w.through == nil {
			w.through = &place{n.Line, n.Column}
		}
		n = n.Alias
	}
	if w.through != nil && !w.expand(path, 1) {
		return
	}
	at := w.at(n)
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		w.report.error(at, path, mistake{"has no value", w.insteadOfNothing(f)})
	case out.Kind() == reflect.Slice:
		w.list(path, n, f, out)
	case out.Kind() == reflect.Map:
		w.named(path, n, f, out)
	case out.Kind() == reflect.Pointer:
		fresh := reflect.New(f.Leaf)
		if f.Form == nil {
			w.grammar.preset(fresh.Elem())
		}
		failed := len(w.report.failed)
		w.single(path, n, f, fresh.Elem())
		if f.Form == nil || len(w.report.failed) == failed {
			out.Set(fresh)
		}
	default:
		w.single(path, n, f, out)
	}
}

func (w *walk) insteadOfNothing(f *Field) string {
	switch {
	case f.List:
		return "write a list, or remove the key"
	case f.Form != nil:
		return "write " + f.Form.Name + " such as " + f.Form.Example + ", or remove the key"
	case slices.ContainsFunc(w.grammar.Shapes[f.Leaf].Fields, func(f *Field) bool { return f.Required }):
		return "write its keys below it, indented, or remove the key"
	default:
		return "write its keys below it, indented, or {} for the defaults, or remove the key"
	}
}

// expand counts values behind aliases against a budget, so that a small file can't grow into a large one.
func (w *walk) expand(path string, values int) bool {
	before := w.expanded
	w.expanded += values
	if before <= expandedMax && w.expanded > expandedMax {
		w.report.error(*w.through, path, mistake{
			fmt.Sprintf("the aliases stand for more than %d values", expandedMax), "write fewer aliases of lists and mappings",
		})
	}
	return w.expanded <= expandedMax
}

func (w *walk) single(path string, n *yaml.Node, f *Field, out reflect.Value) {
	switch {
	case f.Form != nil && n.Kind == yaml.ScalarNode:
		w.scalar(path, n, f, out)
	case f.Form != nil:
		w.report.error(w.at(n), path, mistake{
			"is " + kindName(n) + ", not " + f.Form.Name, "write one value such as " + f.Form.Example,
		})
	case n.Kind == yaml.MappingNode:
		w.mapping(path, n, out)
	default:
		keys := make([]string, len(w.grammar.Shapes[f.Leaf].Fields))
		for i, below := range w.grammar.Shapes[f.Leaf].Fields {
			keys[i] = below.Key
		}
		w.report.error(w.at(n), path, mistake{
			"is " + kindName(n) + ", not a mapping", "write its keys below it: " + strings.Join(keys, ", "),
		})
	}
}

func (w *walk) list(path string, n *yaml.Node, f *Field, out reflect.Value) {
	switch {
	case n.Kind == yaml.ScalarNode && f.Form != nil:
		w.report.error(w.at(n), path, mistake{"is one value, not a list", "write [" + short(n.Value) + "]"})
		return
	case n.Kind != yaml.SequenceNode:
		w.report.error(w.at(n), path, mistake{"is " + kindName(n) + ", not a list", "begin each entry with - and a space"})
		return
	case len(n.Content) == 0 && f.Required:
		w.report.error(w.at(n), path, mistake{"is an empty list", "write at least one entry"})
		return
	case len(n.Content) > ListMax:
		w.report.error(w.at(n), path, mistake{fmt.Sprintf("has %d entries", len(n.Content)), fmt.Sprintf("write at most %d", ListMax)})
		return
	}
	out.Set(reflect.MakeSlice(out.Type(), len(n.Content), len(n.Content)))
	for i, entry := range n.Content {
		if w.report.full() {
			return
		}
		fresh := out.Index(i)
		if f.Form == nil {
			w.grammar.preset(fresh)
		}
		w.value(path+"["+strconv.Itoa(i)+"]", entry, f, fresh)
	}
}

// named decodes a mapping whose keys are names.
func (w *walk) named(path string, n *yaml.Node, f *Field, out reflect.Value) {
	switch {
	case n.Kind != yaml.MappingNode:
		w.report.error(w.at(n), path, mistake{"is " + kindName(n) + ", not a mapping", "write " + f.Names.Name + " such as " + f.Names.Example + ", a colon and its value"})
		return
	case len(n.Content) > 2*ListMax:
		w.report.error(w.at(n), path, mistake{fmt.Sprintf("has %d entries", len(n.Content)/2), fmt.Sprintf("write at most %d", ListMax)})
		return
	}
	out.Set(reflect.MakeMap(out.Type()))
	outer := w.through
	defer func() { w.through = outer }()
	for _, p := range w.pairs(path, n, 0) {
		if w.report.full() {
			return
		}
		w.through = p.through
		if _, m := f.Names.parse(p.key.Value); m != nil {
			w.report.error(w.at(p.key), join(path, short(p.key.Value)), *m)
			continue
		}
		fresh := reflect.New(f.Leaf).Elem()
		if f.Form == nil {
			w.grammar.preset(fresh)
		}
		w.value(join(path, p.key.Value), p.value, f, fresh)
		out.SetMapIndex(reflect.ValueOf(p.key.Value).Convert(out.Type().Key()), fresh)
	}
}

func (w *walk) mapping(path string, n *yaml.Node, out reflect.Value) {
	s := w.grammar.Shapes[out.Type()]
	given := map[string]bool{}
	outer := w.through
	for _, p := range w.pairs(path, n, 0) {
		if w.report.full() {
			break
		}
		given[p.key.Value] = true
		w.through = p.through
		if f := s.keys[p.key.Value]; f != nil {
			w.value(join(path, f.Key), p.value, f, out.Field(f.index))
		} else {
			w.unknown(path, p.key, s)
		}
	}
	w.through = outer
	for _, f := range s.Fields {
		if f.Required && !given[f.Key] && !(w.part && elsewhere(s, f)) {
			w.report.error(w.at(n), join(path, f.Key), mistake{"is required but missing", "write " + w.example(f)})
		}
	}
}

// elsewhere says whether control keeps a field of s beside the part that s is.
func elsewhere(s *Shape, f *Field) bool {
	return s.Name == "Network" && f.Key == "sites" || s.Name == "Cluster" && f.Key == "nodes" || s.Name == "Node"
}

// example returns a line that gives the field.
func (w *walk) example(f *Field) string {
	switch {
	case f.Form == nil:
		var keys []string
		for _, below := range w.grammar.Shapes[f.Leaf].Fields {
			if below.Required {
				keys = append(keys, below.Key)
			}
		}
		entry := f.Key + ": and below it "
		if f.List {
			entry += "a list of entries with "
		}
		return entry + strings.Join(keys, ", ")
	case f.List:
		return f.Key + ": [" + strconv.Quote(f.Form.Example) + "]"
	default:
		return f.Key + ": " + f.Form.Example
	}
}

// pair is a key of a mapping with its value, and the alias through which a merge key brought it.
type pair struct {
	key, value *yaml.Node
	through    *place
}

// pairs returns the pairs of a mapping, its own first, then those that merge keys bring (https://yaml.org/type/merge.html): the
// first that says something about a key wins.
func (w *walk) pairs(path string, n *yaml.Node, depth int) []pair {
	var own []pair
	var merges []*yaml.Node
	first := map[string]place{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			w.report.error(w.at(key), path, mistake{
				"a key is " + kindName(key), "write a word before the colon, and quote a value that begins with { or [",
			})
		case key.Tag == "!!merge":
			merges = append(merges, value)
		case first[key.Value] != place{}:
			w.report.error(w.at(key), path, mistake{
				"the key " + short(key.Value) + " stands here and at " + first[key.Value].String(), "keep one of them",
			})
		default:
			first[key.Value] = nodePlace(key)
			own = append(own, pair{key, value, w.through})
		}
	}
	for _, m := range merges {
		for _, p := range w.merged(path, m, depth, false) {
			if first[p.key.Value] == (place{}) {
				first[p.key.Value] = nodePlace(p.key)
				own = append(own, p)
			}
		}
	}
	return own
}

// merged returns the pairs of a merge key's value: a mapping, an alias of one, or a list of these, of which n may be an entry.
func (w *walk) merged(path string, n *yaml.Node, depth int, entry bool) []pair {
	outer := w.through
	defer func() { w.through = outer }()
	if n.Kind == yaml.AliasNode {
		if w.through == nil {
			w.through = &place{n.Line, n.Column}
		}
		n = n.Alias
	}
	const chainMax = 8 // merges that merge; an alias may stand inside its own anchor
	switch {
	case depth > chainMax:
		w.report.error(w.at(n), path, mistake{"merge keys lead to merge keys without end", "write fewer <<"})
		return nil
	case n.Kind == yaml.MappingNode:
		if w.through != nil && !w.expand(path, len(n.Content)) {
			return nil
		}
		return w.pairs(path, n, depth+1)
	case n.Kind == yaml.SequenceNode && !entry:
		var all []pair
		for _, one := range n.Content {
			all = append(all, w.merged(path, one, depth, true)...)
		}
		return all
	default:
		w.report.error(w.at(n), path, mistake{"<< merges " + kindName(n), "write << with the alias of a mapping"})
		return nil
	}
}

func (w *walk) unknown(path string, key *yaml.Node, s *Shape) {
	known := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		known[i] = f.Key
	}
	instead := "write one of " + strings.Join(known, ", ")
	if near := typo.Within(1, key.Value, known); near != "" {
		instead = "did you mean " + near + "?"
	} else if owners := w.grammar.owners(key.Value); len(owners) > 0 {
		instead = "it belongs in " + either(owners)
	} else if near := typo.Closest(key.Value, known); near != "" {
		instead = "did you mean " + near + "?"
	}
	w.report.error(w.at(key), join(path, short(key.Value)), mistake{"is not a known key", instead})
}

func (w *walk) scalar(path string, n *yaml.Node, f *Field, out reflect.Value) {
	at := w.at(n)
	tag := n.ShortTag()
	v, m := f.Form.parse(n.Value)
	switch jsonType, known := jsonTypes()[tag]; {
	case !known:
		m = &mistake{"has the tag " + short(tag), "remove the tag"}
	case m != nil:
	case !f.Form.Takes(jsonType) && jsonType == "string":
		m = &mistake{quoted(n.Value) + " is text, not " + f.Form.Name, "remove the quotation marks"}
	case !f.Form.Takes(jsonType):
		m = &mistake{short(n.Value) + " is " + scalarNames()[jsonType] + " to YAML, not text", "quote it: " + strconv.Quote(n.Value)}
	}
	if m == nil {
		value := reflect.ValueOf(v).Convert(f.Leaf)
		if m = f.wrong(value, n.Value); m == nil {
			out.Set(value)
			return
		}
	}
	w.report.error(at, path, *m)
}

// jsonTypes says as which JSON type a YAML scalar arrives.
func jsonTypes() map[string]string {
	return map[string]string{
		"!!str": "string", "!!timestamp": "string", "!!int": "integer", "!!float": "number", "!!bool": "boolean",
	}
}

func scalarNames() map[string]string {
	return map[string]string{"integer": "a number", "number": "a number", "boolean": "a truth value"}
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	default:
		return "one value"
	}
}

// short returns a word of the file for a message, quoted if it is long or not plain.
func short(word string) string {
	if q := quoted(word); q != `"`+word+`"` || word == "" || strings.ContainsAny(word, " .") {
		return q
	}
	return word
}
