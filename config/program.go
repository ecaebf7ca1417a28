package config

import (
	"fmt"
	"maps"
	"slices"

	"github.com/wherry/wherry/config/programs"
)

// programForm is the form of a field of a program.
func programForm(field string) (Form, bool) {
	f, ok := programs.FormOf(field)
	return Form{
		Name: f.Name, Text: f.Text, Example: f.Example, JSON: f.JSON, Pattern: f.Pattern,
		parse: func(text string) (any, *mistake) { return text, mistaken(f.Wrong(text)) },
	}, ok
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
		for key, wrong := range program.Wrong() {
			c.error("programs."+string(name)+"."+key, wrong[0], wrong[1])
		}
		if !named[name] {
			c.warn("programs."+string(name), "no rule names it, so nobody can ask it", "write `program: "+string(name)+"` into a rule")
		}
	}
}
