package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
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
	Closed      *bool              `json:"additionalProperties,omitempty"`
	Defs        map[string]*schema `json:"$defs,omitempty"`
}

// Schema returns the JSON Schema of a configuration file, for editors that complete and check while one types. It accepts every
// file that Parse accepts (merge keys resolved) but not only those: what is wrong between values, only Parse knows.
func Schema() ([]byte, error) {
	g, err := newGrammar()
	if err != nil {
		return nil, err
	}
	root := g.schemaOf(g.order[0])
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.ID = "urn:wherry:config"
	root.Title = "Wherry configuration"
	root.Defs = map[string]*schema{}
	for _, s := range g.order[1:] {
		root.Defs[s.name] = g.schemaOf(s)
	}
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	return append(text, '\n'), nil
}

func (g *grammar) schemaOf(s *shape) *schema {
	closed := false
	out := &schema{Description: s.text, Type: "object", Properties: map[string]*schema{}, Closed: &closed}
	for _, f := range s.fields {
		out.Properties[f.key] = g.schemaOfField(f)
		if f.required {
			out.Required = append(out.Required, f.key)
		}
	}
	return out
}

func (g *grammar) schemaOfField(f *field) *schema {
	leaf := &schema{}
	if f.form == nil {
		leaf.Ref = "#/$defs/" + g.shapes[f.leaf].name
	} else {
		leaf = f.schemaOfLeaf()
	}
	out := leaf
	if f.list {
		out = &schema{Type: "array", Items: leaf, MaxItems: listMax}
		if f.required {
			out.MinItems = 1
		}
	}
	out.Description = f.describe()
	if f.preset.IsValid() {
		out.Default = f.json(f.fallback, f.preset)
	}
	return out
}

func (f *field) schemaOfLeaf() *schema {
	leaf := &schema{Type: f.form.json, Pattern: f.form.pattern, Examples: []any{f.jsonText(f.form.example)}}
	if len(f.form.json) == 1 {
		leaf.Type = f.form.json[0]
	}
	for _, word := range f.oneOf {
		leaf.Enum = append(leaf.Enum, f.jsonText(word))
	}
	if f.min.IsValid() && !f.form.takes("string") {
		leaf.Minimum, leaf.Maximum = f.min.Interface(), f.max.Interface()
	}
	return leaf
}

// json returns a value of the model as JSON would have it: numbers and truth values themselves, everything else as written.
func (f *field) json(text string, v reflect.Value) any {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && f.form.takes("integer") {
		return n
	}
	if f.form.takes("string") {
		return text
	}
	return v.Interface()
}

func (f *field) jsonText(text string) any {
	v, err := f.constant(text)
	if err != nil {
		return text
	}
	return f.json(text, v)
}

// describe is the field's text with what JSON Schema has no word for.
func (f *field) describe() string {
	text := f.text
	if f.low != "" && f.form.takes("string") {
		text += fmt.Sprintf(" From %s to %s.", f.low, f.high)
	}
	if f.fallback != "" && !f.preset.IsValid() {
		text += fmt.Sprintf(" Default: %s.", f.fallback)
	}
	return text
}
