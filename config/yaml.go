package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// parseYAML returns the mapping that is the file's only document, or nil after it has reported why there is none.
func parseYAML(data []byte, report *collector) *yaml.Node {
	top := place{1, 1}
	if len(data) > FileSizeMax {
		report.error(top, "", mistake{
			fmt.Sprintf("the file has %d bytes, more than %s", len(data), Size(FileSizeMax)),
			"split the network, or share lists by YAML aliases",
		})
		return nil
	}
	if at, ok := notUTF8(data); !ok {
		report.error(at, "", mistake{"the file is not UTF-8", "save it as UTF-8 text"})
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	switch err := decoder.Decode(&doc); {
	case errors.Is(err, io.EOF):
		report.error(top, "", mistake{"the file is empty", begin})
		return nil
	case err != nil:
		report.error(syntaxPlace(data, err), "", syntaxMistake(err))
		return nil
	}
	if err := decoder.Decode(&more); err == nil {
		report.error(nodePlace(&more), "", mistake{"the file has a second document", "remove the line --- and merge the two"})
		return nil
	} else if !errors.Is(err, io.EOF) {
		report.error(syntaxPlace(data, err), "", syntaxMistake(err))
		return nil
	}
	root := doc.Content[0]
	switch {
	case root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null":
		report.error(nodePlace(root), "", mistake{"the file is empty", begin})
		return nil
	case root.Kind != yaml.MappingNode:
		report.error(nodePlace(root), "", mistake{"the file is " + kindName(root) + ", not a mapping with keys such as sites", begin})
		return nil
	}
	if deep := tooDeep(root, depthMax); deep != nil {
		report.error(nodePlace(deep), "", mistake{
			fmt.Sprintf("lists and mappings are nested more than %d deep", depthMax), "remove what is not in the reference",
		})
		return nil
	}
	return root
}

func notUTF8(data []byte) (place, bool) {
	at := place{1, 1}
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && size == 1:
			return at, false
		case r == '\n':
			at = place{at.line + 1, 1}
		default:
			at.column++
		}
		data = data[size:]
	}
	return at, true
}

// tooDeep returns a node below n with more than limit lists and mappings around it, or nil. It doesn't follow aliases: the walk
// over the model bounds those.
func tooDeep(n *yaml.Node, limit int) *yaml.Node {
	if limit < 0 {
		return n
	}
	for _, child := range n.Content {
		if deep := tooDeep(child, limit-1); deep != nil {
			return deep
		}
	}
	return nil
}

func nodePlace(n *yaml.Node) place { return place{n.Line, n.Column} }

// syntaxMistake words an error of the YAML parser.
func syntaxMistake(err error) mistake {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	text = regexp.MustCompile(`^(line [0-9]+: |offset [0-9]+: )`).ReplaceAllString(text, "")
	hints := []struct{ part, instead string }{
		{"mapping values are not allowed", "check the indentation, and quote a value that has a colon and a space in it"},
		{"cannot start any token", "indent with spaces, not tabs, and quote a value that begins with @, ` or %"},
		{"violates indentation", "indent with spaces, not tabs"},
		{"did not find expected key", "line up the keys of one mapping below each other"},
		{"did not find expected '-' indicator", "line up the entries of one list below each other"},
		{"did not find expected ',' or ']'", "close the list with ] and put commas between its entries"},
		{"did not find expected ',' or '}'", "close the mapping with } and put commas between its entries"},
		{"unexpected end of stream", "close the quotation mark"},
		{"could not find expected ':'", "write KEY: VALUE with a colon and a space"},
		{"unknown anchor", "define the anchor with & before the alias *, or quote a value that begins with *"},
		{"did not find expected alphabetic or numeric character", "quote a value that begins with * or &"},
		{"control characters", "remove the control character"},
	}
	for _, h := range hints {
		if strings.Contains(text, h.part) {
			return mistake{"not YAML: " + text, h.instead}
		}
	}
	return mistake{"not YAML: " + text, "compare with what `wherry config sample` prints"}
}

// syntaxPlace finds the place of a syntax error. The parser's own line is where the construct began, which may be far above, so
// the shortest beginning of the file that fails in the same way is searched; its last line is the one to look at.
func syntaxPlace(data []byte, err error) place {
	const searchMax = 1 << 20 // bytes; each step of the search parses again
	message := syntaxMistake(err).what
	ends := lineEnds(data)
	line := 1
	if m := regexp.MustCompile(`line ([0-9]+)`).FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1])
	}
	if len(data) <= searchMax {
		low, high := 1, len(ends)
		for low < high {
			middle := (low + high) / 2
			if failsLike(data[:ends[middle-1]], message) {
				high = middle
			} else {
				low = middle + 1
			}
		}
		line = low
	}
	line = min(max(line, 1), len(ends))
	start := 0
	if line > 1 {
		start = ends[line-2]
	}
	text := string(data[start:ends[line-1]])
	return place{line, 1 + len(text) - len(strings.TrimLeft(text, " \t"))}
}

// lineEnds returns the offset behind each line; there is at least one.
func lineEnds(data []byte) []int {
	var ends []int
	for i, c := range data {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	if len(ends) == 0 || ends[len(ends)-1] < len(data) {
		ends = append(ends, len(data))
	}
	return ends
}

func failsLike(data []byte, message string) bool {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc yaml.Node
		if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
			return false
		} else if err != nil {
			return syntaxMistake(err).what == message
		}
	}
}
