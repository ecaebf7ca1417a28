package reference

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/wherry/wherry/config"

	_ "embed"
)

//go:embed sample.yaml
var sampleText string

// Sample returns a commented configuration to begin with: complete, without problems, and of use on one machine as it is.
func Sample() []byte { return []byte(sampleText) }

// Reference returns docs/configuration.md: each key of the file with its default and what it does.
func Reference() ([]byte, error) {
	g, err := config.NewGrammar()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(referenceHead)
	for _, s := range g.Order {
		writeShape(g, &b, s)
	}
	writeForms(g, &b)
	return b.Bytes(), nil
}

const referenceHead = `<!-- Written by "wherry config reference" from the comments in config/model.go, model_site.go and programs/model.go: change those. -->

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

func writeShape(g *config.Grammar, b *bytes.Buffer, s *config.Shape) {
	title := "The file"
	if s.Path != "" {
		title = "`" + s.Path + "`"
	}
	fmt.Fprintf(b, "## %s\n\n%s\n\n", title, sentence(s))
	for _, f := range s.Fields {
		fmt.Fprintf(b, "- **`%s`** (%s)", f.Key, strings.Join(facts(g, f), ", "))
		if f.Text != "" {
			b.WriteString("<br>\n  " + wrap(f.Text, "  "))
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
}

// sentence is the text of a struct without the Go name that it begins with: "DNS says how" becomes "Says how".
func sentence(s *config.Shape) string {
	text := s.Text
	for _, verb := range []string{" is ", " are "} {
		if rest, ok := strings.CutPrefix(text, s.Name+verb); ok {
			text = rest
		}
	}
	text = strings.TrimPrefix(text, s.Name+" ")
	if text == "" {
		return text
	}
	return wrap(strings.ToUpper(text[:1])+text[1:], "")
}

// facts says in a few words what a field takes.
func facts(g *config.Grammar, f *config.Field) []string {
	var facts []string
	switch kind := kind(g, f); {
	case f.Names != nil:
		facts = append(facts, kind+" by "+bare(f.Names.Name))
	case f.List:
		facts = append(facts, "list of "+kind)
	default:
		facts = append(facts, kind)
	}
	if len(f.OneOf) > 0 {
		facts = append(facts, "one of `"+strings.Join(f.OneOf, "`, `")+"`")
	}
	if f.Low != "" {
		facts = append(facts, fmt.Sprintf("`%s` to `%s`", f.Low, f.High))
	}
	switch {
	case f.Required:
		facts = append(facts, "required")
	case f.Preset.IsValid():
		facts = append(facts, "default `"+f.Fallback+"`")
	case f.Fallback != "":
		facts = append(facts, "default: "+f.Fallback)
	}
	return facts
}

// kind names what a field holds, with a link to where that is described.
func kind(g *config.Grammar, f *config.Field) string {
	if f.Form == nil {
		s := g.Shapes[f.Leaf]
		return fmt.Sprintf("[%s](#%s)", strings.ToLower(s.Name), anchor(s.Path))
	}
	return fmt.Sprintf("[%s](#values)", bare(f.Form.Name))
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
	}, strings.ToLower(heading))
}

func writeForms(g *config.Grammar, b *bytes.Buffer) {
	b.WriteString("## Values\n\n")
	var lines []string
	for _, s := range g.Order {
		for _, f := range s.Fields {
			for _, form := range []*config.Form{f.Names, f.Form} {
				if form == nil {
					continue
				}
				line := fmt.Sprintf("- **%s**: %s\n", bare(form.Name), wrap(form.Text, "  ")+".")
				if !slices.Contains(lines, line) {
					lines = append(lines, line)
				}
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
