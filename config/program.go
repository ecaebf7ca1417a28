package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/wherry/wherry/config/spell"
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
			case spell.WrongFile(text):
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

// Programs are those that the rule names, by key.
func (r *Rule) Programs() map[string]ProgramName {
	m := map[string]ProgramName{"program": r.Program, "request_program": r.RequestProgram, "response_program": r.ResponseProgram}
	maps.DeleteFunc(m, func(_ string, name ProgramName) bool { return name == "" })
	return m
}

// programs looks whether there are those that rules name.
func (c *checker) programs() {
	named := map[ProgramName]bool{}
	for i := range c.n.Sites {
		for j := range c.n.Sites[i].Rules {
			rule, path := &c.n.Sites[i].Rules[j], fmt.Sprintf("sites[%d].rules[%d].", i, j)
			for key, name := range rule.Programs() {
				named[name] = true
				if _, ok := c.n.Programs[name]; !ok {
					c.error(path+key, "there is no program "+quoted(string(name)), "write it below `programs`, with its image")
				}
				if rule.Refuse != 0 {
					c.warn(path+key, "has no effect: the rule refuses", "remove "+key+" or refuse")
				}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.n.Programs)) {
		if !named[name] {
			c.warn("programs."+string(name), "no rule names it, so nobody can ask it", "write `program: "+string(name)+"` into a rule")
		}
	}
}
