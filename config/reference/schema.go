package reference

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"github.com/wherry/wherry/config"
)

// schema is a JSON Schema (2020-12), as far as the model needs it.
type schema struct {
	Schema      string             `json:"$schema,omitempty"`
	ID          string             `json:"$id,omitempty"`
	Ref         string             `json:"$ref,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        any                `json:"type,omitempty"` // a string or several
	Enum        []any              `json:"enum,omitempty"`
	Default     any                `json:"default,omitempty"`
	Examples    []any              `json:"examples,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	Minimum     any                `json:"minimum,omitempty"`
	Maximum     any                `json:"maximum,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	MinItems    int                `json:"minItems,omitempty"`
	MaxItems    int                `json:"maxItems,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Others      any                `json:"additionalProperties,omitempty"` // false, or the schema of all values
	Names       *schema            `json:"propertyNames,omitempty"`
	NamesMax    int                `json:"maxProperties,omitempty"`
	Defs        map[string]*schema `json:"$defs,omitempty"`
}

// Schema returns the JSON Schema of a configuration file, for editors that complete and check while one types. It accepts every
// file that Parse accepts (merge keys resolved) but not only those: what is wrong between values, only Parse knows.
func Schema() ([]byte, error) {
	g, err := config.NewGrammar()
	if err != nil {
		return nil, err
	}
	root := schemaOf(g, g.Order[0])
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.ID = "urn:wherry:config"
	root.Title = "Wherry configuration"
	root.Defs = map[string]*schema{}
	for _, s := range g.Order[1:] {
		root.Defs[s.Name] = schemaOf(g, s)
	}
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	return append(text, '\n'), nil
}

func schemaOf(g *config.Grammar, s *config.Shape) *schema {
	out := &schema{Description: s.Text, Type: "object", Properties: map[string]*schema{}, Others: false}
	for _, f := range s.Fields {
		out.Properties[f.Key] = schemaOfField(g, f)
		if f.Required {
			out.Required = append(out.Required, f.Key)
		}
	}
	return out
}

func schemaOfField(g *config.Grammar, f *config.Field) *schema {
	leaf := &schema{}
	if f.Form == nil {
		leaf.Ref = "#/$defs/" + g.Shapes[f.Leaf].Name
	} else {
		leaf = schemaOfLeaf(f)
	}
	out := leaf
	if f.List {
		out = &schema{Type: "array", Items: leaf, MaxItems: config.ListMax}
		if f.Required {
			out.MinItems = 1
		}
	}
	if f.Names != nil {
		out = &schema{Type: "object", Others: leaf, Names: &schema{Pattern: f.Names.Pattern}, NamesMax: config.ListMax}
	}
	out.Description = describe(f)
	if f.Preset.IsValid() {
		out.Default = jsonOf(f, f.Fallback, f.Preset)
	}
	return out
}

func schemaOfLeaf(f *config.Field) *schema {
	leaf := &schema{Type: f.Form.JSON, Pattern: f.Form.Pattern, Examples: []any{jsonText(f, f.Form.Example)}}
	if len(f.Form.JSON) == 1 {
		leaf.Type = f.Form.JSON[0]
	}
	for _, word := range f.OneOf {
		leaf.Enum = append(leaf.Enum, jsonText(f, word))
	}
	if f.Min.IsValid() && !f.Form.Takes("string") {
		leaf.Minimum, leaf.Maximum = f.Min.Interface(), f.Max.Interface()
	}
	return leaf
}

// jsonOf returns a value of the model as JSON would have it: numbers and truth values themselves, everything else as written.
func jsonOf(f *config.Field, text string, v reflect.Value) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && f.Form.Takes("integer") {
		return n
	}
	if f.Form.Takes("string") {
		return text
	}
	return v.Interface()
}

func jsonText(f *config.Field, text string) any {
	v, err := f.Constant(text)
	if err != nil {
		return text
	}
	return jsonOf(f, text, v)
}

// describe is the field's text with what JSON Schema has no word for.
func describe(f *config.Field) string {
	text := f.Text
	if f.Low != "" && f.Form.Takes("string") {
		text += fmt.Sprintf(" From %s to %s.", f.Low, f.High)
	}
	if f.Fallback != "" && !f.Preset.IsValid() {
		text += fmt.Sprintf(" Default: %s.", f.Fallback)
	}
	return text
}
