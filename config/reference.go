package config

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed sample.yaml
var sampleText string

// Sample returns a commented configuration to begin with: complete, without problems, and of use on one machine as it is.
func Sample() []byte { return []byte(sampleText) }

// Reference returns docs/configuration.md: each key of the file with its default and what it does.
func Reference() ([]byte, error) {
	g, err := newGrammar()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(referenceHead)
	for _, s := range g.order {
		g.writeShape(&b, s)
	}
	g.writeForms(&b)
	return b.Bytes(), nil
}

const referenceHead = `<!-- Written by "wherry config reference" from the comments in config/model.go and model_site.go: change those. -->

# Configuration

Everything that Wherry needs to know stands in one YAML file. This is a whole one:

` + "```yaml" + `
sites: [{name: shop, hosts: [shop.test], origins: [{url: "http://127.0.0.1:9000"}]}]
` + "```" + `

- ` + "`wherry config sample`" + ` writes a commented file to begin with.
- ` + "`wherry config check FILE`" + ` reports every problem with its line and column and what to write instead.
- ` + "`wherry config explain FILE URL`" + ` says which site, rule and cache key a request meets, and why.
- ` + "`wherry config schema`" + ` prints the JSON Schema for editors.

Unknown keys, keys without a value, duplicate keys and values out of range are errors; nothing is corrected silently. Anchors,
aliases and merge keys (` + "`<<`" + `) may be used. The file is UTF-8, has one document and at most 5 MiB.

`

func (g *grammar) writeShape(b *bytes.Buffer, s *shape) {
	title := "The file"
	if s.path != "" {
		title = "`" + s.path + "`"
	}
	fmt.Fprintf(b, "## %s\n\n%s\n\n", title, sentence(s))
	for _, f := range s.fields {
		fmt.Fprintf(b, "- **`%s`** (%s)", f.key, strings.Join(g.facts(f), ", "))
		if f.text != "" {
			b.WriteString("<br>\n  " + wrap(f.text, "  "))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

// sentence is the text of a struct without the Go name that it begins with: "DNS says how" becomes "Says how".
func sentence(s *shape) string {
	text := s.text
	for _, verb := range []string{" is ", " are "} {
		if rest, ok := strings.CutPrefix(text, s.name+verb); ok {
			text = rest
		}
	}
	text = strings.TrimPrefix(text, s.name+" ")
	if text == "" {
		return text
	}
	return wrap(strings.ToUpper(text[:1])+text[1:], "")
}

// facts says in a few words what a field takes.
func (g *grammar) facts(f *field) []string {
	var facts []string
	switch kind := g.kind(f); {
	case f.list:
		facts = append(facts, "list of "+kind)
	default:
		facts = append(facts, kind)
	}
	if len(f.oneOf) > 0 {
		facts = append(facts, "one of `"+strings.Join(f.oneOf, "`, `")+"`")
	}
	if f.low != "" {
		facts = append(facts, fmt.Sprintf("`%s` to `%s`", f.low, f.high))
	}
	switch {
	case f.required:
		facts = append(facts, "required")
	case f.preset.IsValid():
		facts = append(facts, "default `"+f.fallback+"`")
	case f.fallback != "":
		facts = append(facts, "default: "+f.fallback)
	}
	return facts
}

// kind names what a field holds, with a link to where that is described.
func (g *grammar) kind(f *field) string {
	if f.form == nil {
		s := g.shapes[f.leaf]
		return fmt.Sprintf("[%s](#%s)", strings.ToLower(s.name), anchor(s.path))
	}
	return fmt.Sprintf("[%s](#values)", bare(f.form.name))
}

// bare takes the article off a form's name.
func bare(name string) string {
	_, noun, _ := strings.Cut(name, " ")
	return noun
}

// anchor is the fragment that Markdown renderers give a heading.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r == '_' || r == '-' {
			return r
		}
		return -1
	}, heading)
}

func (g *grammar) writeForms(b *bytes.Buffer) {
	b.WriteString("## Values\n\n")
	var lines []string
	for _, s := range g.order {
		for _, f := range s.fields {
			if f.form == nil {
				continue
			}
			line := fmt.Sprintf("- **%s**: %s\n", bare(f.form.name), wrap(f.form.text, "  ")+".")
			if !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	slices.Sort(lines)
	b.WriteString(strings.Join(lines, ""))
}

// wrap breaks text into lines that a reader of the raw file can take in.
func wrap(text, indent string) string {
	const width = 120
	var b strings.Builder
	column := 0
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			b.WriteString("\n\n" + indent)
			column = 0
		}
		for _, word := range strings.Fields(paragraph) {
			switch {
			case column == 0:
			case column+1+len(word) > width:
				b.WriteString("\n" + indent)
				column = 0
			default:
				b.WriteString(" ")
				column++
			}
			b.WriteString(word)
			column += len(word)
		}
	}
	return b.String()
}
