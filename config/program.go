package config

import (
	"fmt"
	"maps"
	"slices"

	"github.com/wherry/wherry/config/programs"
)

func imageForm() Form {
	return Form{
		Name: "an image", Text: "the path of a static ELF file, from the directory of the configuration; or `sha256:` and 64 lower-case hexadecimal digits",
		Example: "./hello", JSON: []string{"string"}, Pattern: `^[^\x00]+$`,
		parse: func(text string) (any, *mistake) { return text, mistaken(programs.WrongImage(text)) },
	}
}

func secretForm() Form {
	return Form{
		Name: "a secret", Text: "the path of a file with its value, from the directory of the configuration; or `secret:` and the name of one that control keeps",
		Example: "./api.key", JSON: []string{"string", "integer", "number", "boolean"}, Pattern: `^[^\x00]+$`, // else an error would repeat what may be the secret
		parse: func(text string) (any, *mistake) { return text, mistaken(programs.WrongSecret(text)) },
	}
}

func textForm() Form {
	return Form{
		Name: "a text", Text: "anything without NUL", Example: "text", JSON: []string{"string", "integer", "number", "boolean"}, Pattern: `^[^\x00]*$`,
		parse: func(text string) (any, *mistake) { return text, mistaken(programs.WrongText(text)) },
	}
}

func variableForm() Form {
	return Form{
		Name: "a variable", Text: "the name of an environment variable", Example: "LANG", JSON: []string{"string"}, Pattern: programs.Variable.String(),
		parse: func(text string) (any, *mistake) { return text, mistaken(programs.WrongVariable(text)) },
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
		program := c.n.Programs[name]
		for key, wrong := range program.WrongSecrets() {
			c.error("programs."+string(name)+"."+key, wrong[0], wrong[1])
		}
		if !named[name] {
			c.warn("programs."+string(name), "no rule names it, so nobody can ask it", "write `program: "+string(name)+"` into a rule")
		}
	}
}
