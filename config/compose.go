package config

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Where control keeps a network, its file is in parts: the settings, and each site for itself; the nodes are those that have joined.

// Parts are a file in parts.
type Parts struct {
	Settings []byte // YAML without sites; nil if the file has none
	Sites    []SitePart
}

// SitePart is one site of a file.
type SitePart struct {
	Name SiteName // as far as it could be read; ParseSite says what is wrong with it
	YAML []byte   // of the site alone
	Line int      // where it begins in the file
}

// Split takes a file in parts: one like wherry.yaml, without nodes and maybe without sites or with nothing else, or one site alone.
// It looks at no values: ParseSettings and ParseSite do.
func Split(file string, data []byte) (Parts, Problems) {
	report := newCollector(file)
	root := parseYAML(data, report)
	if root == nil {
		return Parts{}, report.problems()
	}
	if valueOf(root, "sites") == nil {
		if valueOf(root, "hosts") != nil || valueOf(root, "origins") != nil {
			return Parts{Sites: []SitePart{{nameOf(root), data, 1}}}, nil
		}
		return Parts{Settings: data}, nil
	}
	w := &expansion{report: report}
	root = w.expand(root, nil)
	var parts Parts
	rest := &yaml.Node{Kind: yaml.MappingNode, HeadComment: root.HeadComment}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		if key.Value != "sites" {
			rest.Content = append(rest.Content, key, value)
			continue
		}
		if value.Kind != yaml.SequenceNode || len(value.Content) == 0 {
			report.error(nodePlace(value), "sites", mistake{"is not a list with sites", "begin each site with - and a space"})
			continue
		}
		for j, site := range value.Content {
			if site.Kind != yaml.MappingNode {
				report.error(nodePlace(site), fmt.Sprintf("sites[%d]", j), mistake{"is " + kindName(site) + ", not a mapping", "write name, hosts and origins of a site"})
				continue
			}
			parts.Sites = append(parts.Sites, SitePart{nameOf(site), encode(site), site.Line})
		}
	}
	if len(rest.Content) > 0 {
		parts.Settings = encode(rest)
	}
	if problems := report.problems(); problems.Err() != nil {
		return Parts{}, problems
	}
	return parts, nil
}

func valueOf(mapping *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

func nameOf(site *yaml.Node) SiteName {
	if name := valueOf(site, "name"); name != nil {
		return SiteName(name.Value)
	}
	return ""
}

// encode writes a part as a file of its own.
func encode(n *yaml.Node) []byte {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(n); err != nil {
		panic("BUG: what was read as YAML can't be written: " + err.Error())
	}
	return b.Bytes()
}

// expansion puts what aliases stand for in their places, for parts that can't refer to each other.
type expansion struct {
	report *collector
	values int // behind aliases so far
}

// expand returns n without aliases and anchors. around are the nodes behind the aliases that lead here.
func (w *expansion) expand(n *yaml.Node, around []*yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		if slices.Contains(around, n.Alias) || w.values > expandedMax {
			w.report.error(nodePlace(n), "", mistake{"the aliases stand for too much, or for themselves", "write fewer aliases of lists and mappings"})
			return &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column}
		}
		return w.expand(n.Alias, append(around, n.Alias))
	}
	if len(around) > 0 {
		w.values++
	}
	out := *n
	out.Anchor, out.Content = "", make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		out.Content[i] = w.expand(child, around)
	}
	return &out
}

// ParseSite reads one site, and says all that is wrong with it alone.
func ParseSite(file string, data []byte) (*Site, Problems) {
	var n Network
	n.Sites = make([]Site, 1)
	problems := parsePart(file, data, "sites[0]", reflect.ValueOf(&n.Sites[0]).Elem(), func(c *checker) {
		c.n = &n
		c.names()
		c.hosts()
		c.site(0)
	})
	if problems.Err() != nil {
		return nil, problems
	}
	return &n.Sites[0], problems
}

// ParseSettings reads what a network has beside its sites. Its clusters have no nodes: nodes join.
func ParseSettings(file string, data []byte) (*Network, Problems) {
	var n Network
	problems := parsePart(file, data, "", reflect.ValueOf(&n).Elem(), func(c *checker) {
		c.n = &n
		c.names()
		c.zone()
		c.clusters()
		c.limits()
		c.disks()
		c.listeners()
		for i := range n.Clusters {
			if len(n.Clusters[i].Nodes) > 0 {
				c.error(fmt.Sprintf("clusters[%d].nodes", i), "nodes aren't written here: they join", "remove nodes, and run `wherry join` on each machine")
			}
		}
		if n.Sites != nil {
			c.error("sites", "is no part of the settings", "apply the sites beside them")
		}
	})
	if problems.Err() != nil {
		return nil, problems
	}
	return &n, problems
}

// ParseNode reads what a node says of itself when it joins: `listen` and `disk`.
func ParseNode(file string, data []byte) (*Node, Problems) {
	var node Node
	problems := parsePart(file, data, "node", reflect.ValueOf(&node).Elem(), func(*checker) {})
	if problems.Err() != nil {
		return nil, problems
	}
	return &node, problems
}

// parsePart decodes a part at path of a Network into out, and lets checks look at it. Problems have paths from the part on.
func parsePart(file string, data []byte, path string, out reflect.Value, checks func(*checker)) Problems {
	report := newCollector(file)
	if root := parseYAML(data, report); root != nil {
		w := &walk{grammar: mustGrammar(), report: report, places: map[string]place{}, part: true}
		w.grammar.preset(out)
		w.mapping(path, root, out)
		c := newChecker(nil, w.places, report)
		checks(c)
	}
	problems := report.problems()
	for i := range problems {
		problems[i].Path = trimPath(problems[i].Path, path)
		if path != "" {
			problems[i].What = strings.ReplaceAll(problems[i].What, path+".", "")
		}
	}
	return problems
}

func trimPath(path, front string) string {
	if front == "" {
		return path
	}
	return strings.TrimPrefix(path, front+".")
}

// Compose makes one configuration of settings, with their nodes filled in, and of sites, and says what is wrong between them. The
// revision names the whole.
func Compose(settings *Network, sites []*Site, revision string) (*Snapshot, Problems) {
	n := *settings
	n.Sites = make([]Site, len(sites))
	for i, site := range sites {
		n.Sites[i] = *site
	}
	complete(&n)
	report := newCollector("network")
	check(&n, nil, report)
	problems := report.problems()
	for i := range problems {
		problems[i].Path, problems[i].What = n.named(problems[i].Path), n.named(problems[i].What)
	}
	if problems.Err() != nil {
		return nil, problems
	}
	s := &Snapshot{Network: n, Revision: revision}
	s.files = files(&n, nil)
	s.index()
	return s, problems
}

var sitePath = regexp.MustCompile(`sites\[(\d+)\]\.?`)

// named writes the names of sites for their places in the list, which nobody has written.
func (n *Network) named(text string) string {
	return sitePath.ReplaceAllStringFunc(text, func(path string) string {
		i, err := strconv.Atoi(sitePath.FindStringSubmatch(path)[1])
		if err != nil || i >= len(n.Sites) {
			return path
		}
		return "site " + string(n.Sites[i].Name) + " "
	})
}

// Files returns the files that the site names; Path is from the site on, such as tls.key.
func (s *Site) Files() []FileRef {
	refs := files(&Network{Log: Log{Access: "off"}, Sites: []Site{*s}}, nil)
	for i := range refs {
		refs[i].Path = trimPath(refs[i].Path, "sites[0]")
	}
	return refs
}
