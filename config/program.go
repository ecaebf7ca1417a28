package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// ImageHash is what stands before the hash of an image that the node has.
const ImageHash = "sha256:"

func imageForm() Form {
	hash := regexp.MustCompile(`^[0-9a-f]{64}$`)
	return Form{
		Name: "an image", Text: "the path of a static ELF file, from the directory of the configuration; or `sha256:` and 64 lower-case hexadecimal digits",
		Example: "./hello", JSON: []string{"string"}, Pattern: `^[^\x00]+$`,
		parse: func(text string) (any, *mistake) {
			digits, named := strings.CutPrefix(text, ImageHash)
			switch {
			case named && !hash.MatchString(digits):
				return nil, &mistake{quoted(text) + " has no 64 lower-case hexadecimal digits behind sha256:", "write what `sha256sum FILE` prints"}
			case wrongFile(text):
				return nil, &mistake{quoted(text) + " is not the path of a file", "write one such as ./hello"}
			}
			return text, nil
		},
	}
}

func textForm() Form {
	return Form{
		Name: "a text", Text: "anything without NUL", Example: "text", JSON: []string{"string", "integer", "number", "boolean"}, Pattern: `^[^\x00]*$`,
		parse: func(text string) (any, *mistake) {
			if strings.Contains(text, "\x00") {
				return nil, &mistake{quoted(text) + " has a NUL", "leave it out"}
			}
			return text, nil
		},
	}
}

func variableForm() Form {
	shape := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	return Form{
		Name: "a variable", Text: "the name of an environment variable", Example: "LANG", JSON: []string{"string"}, Pattern: shape.String(),
		parse: func(text string) (any, *mistake) {
			if !shape.MatchString(text) {
				return nil, &mistake{quoted(text) + " is not the name of a variable", "write letters, digits and _, such as LANG"}
			}
			return text, nil
		},
	}
}

// programs looks whether there are those that rules name.
func (c *checker) programs() {
	named := map[ProgramName]bool{}
	for i := range c.n.Sites {
		for j := range c.n.Sites[i].Rules {
			rule, path := &c.n.Sites[i].Rules[j], fmt.Sprintf("sites[%d].rules[%d].program", i, j)
			if named[rule.Program] = true; rule.Program == "" {
				continue
			}
			if _, ok := c.n.Programs[rule.Program]; !ok {
				c.error(path, "there is no program "+quoted(string(rule.Program)), "write it below `programs`, with its image")
			}
			if rule.Refuse != 0 {
				c.warn(path, "has no effect: the rule refuses", "remove program or refuse")
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.n.Programs)) {
		if !named[name] {
			c.warn("programs."+string(name), "no rule names it, so nobody can ask it", "write `program: "+string(name)+"` into a rule")
		}
	}
}
