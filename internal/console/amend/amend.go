package amend

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Program is what changes of a program. What is empty stays as it is.
type Program struct {
	Image                              string
	Executable                         string
	Plain                              bool // the image says by itself which program it is: one that was chosen in another goes
	Args                               []string
	Env                                [][2]string // names and values; others stay
	Secrets                            [][2]string // names, and what settings say for their values; others stay
	Tenant, Isolation, Machine, Memory string
}

// SetProgram returns settings in which a program is so.
func SetProgram(settings, name string, p Program) (string, error) {
	return edit(settings, func(root *yaml.Node) error {
		all, err := mapping(root, "programs")
		if err != nil {
			return err
		}
		one, err := mapping(all, name)
		if err != nil {
			return err
		}
		for _, s := range [][2]string{{"image", p.Image}, {"executable", p.Executable}, {"tenant", p.Tenant}, {"isolation", p.Isolation}, {"machine", p.Machine}, {"memory", p.Memory}} {
			if s[1] != "" {
				set(one, s[0], text(s[1]))
			}
		}
		if p.Plain {
			remove(one, "executable")
		}
		if p.Args != nil {
			set(one, "args", list(p.Args))
		}
		return errors.Join(setAll(one, "env", p.Env), setAll(one, "secrets", p.Secrets))
	})
}

// setAll sets names in a mapping of a program.
func setAll(program *yaml.Node, key string, all [][2]string) error {
	if len(all) == 0 {
		return nil
	}
	m, err := mapping(program, key)
	for _, e := range all {
		if err == nil {
			set(m, e[0], text(e[1]))
		}
	}
	return err
}

// Secrets returns what settings say of the secrets of a program, by variable.
func Secrets(settings, name string) (map[string]string, error) {
	one, err := programOf(settings, name)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	if secrets := get(one, "secrets"); secrets != nil && secrets.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(secrets.Content); i += 2 {
			all[secrets.Content[i].Value] = secrets.Content[i+1].Value
		}
	}
	return all, nil
}

// ErrNoSecret says that a program has no secret of a name.
var ErrNoSecret = errors.New("the program has no such secret")

// RemoveSecret returns settings in which a program lacks a secret that it has.
func RemoveSecret(settings, name, variable string) (string, error) {
	return edit(settings, func(root *yaml.Node) error {
		one := get(get(root, "programs"), name)
		secrets := get(one, "secrets")
		if get(secrets, variable) == nil {
			return ErrNoSecret
		}
		if remove(secrets, variable); len(secrets.Content) == 0 {
			remove(one, "secrets")
		}
		return nil
	})
}

// ErrNoProgram says that settings have no program of a name.
var ErrNoProgram = errors.New("there is no such program")

// OfProgram returns what settings say of a program, in a form that can be compared.
func OfProgram(settings, name string) (string, error) {
	one, err := programOf(settings, name)
	if err != nil {
		return "", err
	}
	return write(one)
}

func programOf(settings, name string) (*yaml.Node, error) {
	root, err := read(settings)
	if err != nil {
		return nil, err
	}
	one := get(get(content(root), "programs"), name)
	if one == nil {
		return nil, ErrNoProgram
	}
	return one, nil
}

// RestoreProgram returns settings in which a program is as in others.
func RestoreProgram(settings, name, from string) (string, error) {
	one, err := programOf(from, name)
	if err != nil {
		return "", err
	}
	return edit(settings, func(root *yaml.Node) error {
		all, err := mapping(root, "programs")
		if err == nil {
			set(all, name, one)
		}
		return err
	})
}

// SetRule returns a site in which a program answers what has these paths: by the rule that names it already, or by a new one before all others.
func SetRule(site, program string, paths []string) (string, error) {
	return edit(site, func(root *yaml.Node) error {
		rules := get(root, "rules")
		if rules == nil || rules.Tag == "!!null" {
			rules = &yaml.Node{Kind: yaml.SequenceNode}
			set(root, "rules", rules)
		}
		if rules.Kind != yaml.SequenceNode {
			return fmt.Errorf("line %d: rules is no list", rules.Line)
		}
		names := map[string]bool{}
		for _, rule := range rules.Content {
			if n := get(rule, "name"); n != nil {
				names[n.Value] = true
			}
		}
		for _, rule := range rules.Content {
			if p := get(rule, "program"); p != nil && p.Value == program {
				return addPaths(rule, paths)
			}
		}
		name := program
		for n := 2; names[name]; n++ {
			name = fmt.Sprintf("%s-%d", program, n)
		}
		rule := &yaml.Node{Kind: yaml.MappingNode}
		set(rule, "name", text(name))
		if err := addPaths(rule, paths); err != nil {
			return err
		}
		set(rule, "program", text(program))
		rules.Content = slices.Insert(rules.Content, 0, rule)
		return nil
	})
}

func addPaths(rule *yaml.Node, paths []string) error {
	match, err := mapping(rule, "match")
	if err != nil {
		return err
	}
	have := get(match, "paths")
	if have == nil || have.Kind != yaml.SequenceNode {
		have = list(nil)
		set(match, "paths", have)
	}
	for _, path := range paths {
		if !slices.ContainsFunc(have.Content, func(n *yaml.Node) bool { return n.Value == path }) {
			have.Content = append(have.Content, text(path))
		}
	}
	return nil
}

// edit changes the mapping that a document is.
func edit(document string, change func(root *yaml.Node) error) (string, error) {
	root, err := read(document)
	if err != nil {
		return "", err
	}
	if content(root).Kind != yaml.MappingNode {
		return "", errors.New("the document isn't a mapping of keys to values")
	}
	if err := change(content(root)); err != nil {
		return "", err
	}
	return write(root)
}

func read(document string) (*yaml.Node, error) {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(document), &root); err != nil {
		return nil, err
	}
	if root.Kind == 0 || content(&root).Tag == "!!null" { // nothing, or comments alone
		root = yaml.Node{Kind: yaml.DocumentNode, HeadComment: root.HeadComment, Content: []*yaml.Node{{Kind: yaml.MappingNode}}}
	}
	return &root, nil
}

func content(root *yaml.Node) *yaml.Node { return root.Content[0] }

func write(n *yaml.Node) (string, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	err := errors.Join(e.Encode(n), e.Close())
	return b.String(), err
}

// get returns the value of a key, or nil.
func get(m *yaml.Node, key string) *yaml.Node {
	if m == nil || m.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

func set(m *yaml.Node, key string, value *yaml.Node) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			m.Content[i+1] = value
			return
		}
	}
	m.Content = append(m.Content, text(key), value)
}

func remove(m *yaml.Node, key string) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			m.Content = slices.Delete(m.Content, i, i+2)
			return
		}
	}
}

// mapping returns the mapping that is the value of a key, after it has made it if need be.
func mapping(m *yaml.Node, key string) (*yaml.Node, error) {
	value := get(m, key)
	switch {
	case value == nil, value.Tag == "!!null":
		value = &yaml.Node{Kind: yaml.MappingNode}
		set(m, key, value)
	case value.Kind != yaml.MappingNode:
		return nil, fmt.Errorf("line %d: %s is no mapping of keys to values", value.Line, key)
	}
	return value, nil
}

func text(s string) *yaml.Node {
	var n yaml.Node
	n.SetString(strings.ToValidUTF8(s, "\uFFFD"))
	return &n
}

func list(all []string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, s := range all {
		n.Content = append(n.Content, text(s))
	}
	return n
}
