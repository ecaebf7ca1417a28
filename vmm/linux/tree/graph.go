package tree

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/wherry/wherry/vmm/linux/ledger"
)

// Graph is all nodes of a state, each once, in an order that numbers it.
type Graph struct {
	Pages []*Page // the bytes of memory files: not written again by anybody

	image  *Image
	nodes  []*Node
	number map[*Node]int
	mounts []*Node
	place  place
}

// Graph begins one with all that has a name, and the working directory.
func (t *Tree) Graph() *Graph {
	g := &Graph{image: t.image, number: map[*Node]int{}, mounts: t.mounts, place: t.now}
	for _, n := range t.mounts {
		g.Add(n)
	}
	g.Add(t.now.cwd)
	return g
}

// ReadGraph begins one that is to be read.
func (t *Tree) ReadGraph(pages []*Page) *Graph { return &Graph{image: t.image, Pages: pages} }

// Take makes a graph that was read and checked the tree.
func (t *Tree) Take(g *Graph) { t.mounts, t.now = g.mounts, g.place }

// Add adds a node with all below it, and the directories above.
func (g *Graph) Add(n *Node) {
	if n == nil || n.Image {
		return
	}
	if _, ok := g.number[n]; ok {
		return
	}
	g.number[n] = len(g.nodes)
	g.nodes = append(g.nodes, n)
	g.Add(n.now.parent)
	for _, c := range n.sorted() {
		g.Add(c.Node)
	}
}

// Check makes sure that nodes which were read could have come about, and counts what a graph that was written doesn't say.
func (g *Graph) Check(c *ledger.Counts) error {
	c.Nodes = len(g.nodes)
	if len(g.mounts) != len(g.image.mounts) || g.place.cwd == nil || g.place.cwd.Kind != KindDir {
		return ledger.Bad("directory", 0)
	}
	if err := g.checkNodes(c); err != nil {
		return err
	}
	if err := g.checkLinks(); err != nil {
		return err
	}
	for i, n := range g.mounts {
		at := g.image.mounts[i]
		if n.Kind != KindDir || n.fs != fsMemory+uint8(i) || n.now.parent != at.now.parent || n.now.name != at.now.name {
			return ledger.Bad("writable directory", i)
		}
	}
	return nil
}

func (g *Graph) checkNodes(c *ledger.Counts) error {
	for i, n := range g.nodes {
		for name, e := range n.now.names {
			child := e.node
			if n.Kind != KindDir || child == nil || child.Image || child.fs != n.fs || !validName(name) || e.cookie > n.now.cookie || e.cookie <= 0 ||
				n.now.cookie > cookieMax {
				return ledger.Bad("directory", i)
			}
			if child.Kind == KindDir && (child.now.parent != n || child.now.name != name || slices.Contains(g.mounts, child)) {
				return ledger.Bad("directory", i)
			}
			child.now.nlink++
		}
		c.Memory += int64(len(n.now.pages)) * PageSize
		switch {
		case n.fs < fsMemory, n.Kind == KindDir && n.now.parent == nil, n.Kind != KindDir && n.now.parent != nil, n.Kind != KindDir && len(n.now.names) > 0,
			n.Kind != KindFile && len(n.now.pages) > 0, n.Kind == KindLink && (n.Target == "" || strings.IndexByte(n.Target, 0) >= 0):
			return ledger.Bad("file", i)
		}
	}
	return nil
}

// checkLinks looks whether every directory is in one other, or removed, and leads to the root.
func (g *Graph) checkLinks() error {
	for i, n := range g.nodes {
		names := n.now.nlink
		if n.Kind != KindDir {
			continue
		}
		steps, up := 0, n
		for ; !up.Image && up.Kind == KindDir && steps <= 2*depthMax; up = up.now.parent {
			steps++
		}
		if !up.Image || up.Kind != KindDir {
			return ledger.Bad("directory", i)
		}
		root := slices.Contains(g.mounts, n)
		if names > 1 || names == 0 && !root && len(n.now.names) > 0 {
			return ledger.Bad("directory", i)
		}
		if n.now.nlink = 0; root || names > 0 {
			n.now.nlink = 2 + n.subdirectories()
		}
	}
	return nil
}

// Hold counts what keeps a node without a name, in a graph that was read.
func (g *Graph) Hold(n *Node) {
	if n != nil && !n.Image {
		n.now.opens++
	}
}

// CheckHeld makes sure, after Check and all Holds, that every node can be reached.
func (g *Graph) CheckHeld() error {
	g.Hold(g.place.cwd)
	for i, n := range g.nodes {
		if n.now.nlink == 0 && n.now.opens == 0 && n.Kind != KindDir {
			return ledger.Bad("file", i)
		}
	}
	return nil
}

func validName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= NameMax && !slices.Contains([]byte(name), '/') && !slices.Contains([]byte(name), 0)
}

// Make makes the nodes, when they're read, for others to point to: no more than the limits allow.
func (g *Graph) Make(c *ledger.Coder, l *ledger.Limits) {
	ledger.Things(c, &g.nodes, l.Nodes+mountsMax)
}

// Code writes or reads all.
func (g *Graph) Code(c *ledger.Coder) {
	for _, n := range g.nodes {
		g.code(c, n)
	}
	ledger.List(c, &g.mounts, func(n **Node) { g.Ref(c, n) })
	g.Ref(c, &g.place.cwd)
	ledger.Number(c, &g.place.umask)
}

func (g *Graph) code(c *ledger.Coder, n *Node) {
	ledger.Number(c, &n.Ino)
	ledger.Number(c, &n.Kind)
	ledger.Number(c, &n.fs)
	c.String(&n.Target)
	i := &n.now
	ledger.Number(c, &i.mode)
	ledger.Number(c, &i.uid)
	ledger.Number(c, &i.gid)
	ledger.Number(c, &i.atime)
	ledger.Number(c, &i.mtime)
	ledger.Number(c, &i.ctime)
	ledger.Number(c, &i.seals)
	g.Ref(c, &i.parent)
	c.String(&i.name)
	ledger.Number(c, &i.cookie)
	ledger.Number(c, &i.bytes)
	if c.Reading() && (n.Kind == 0 || n.Kind > KindSocket || n.Kind == KindDevice || n.Kind == KindProc || n.Kind == KindDescriptor || i.bytes < 0) {
		c.Fail("kind of a file")
	}
	entries := n.sorted()
	ledger.List(c, &entries, func(e *Child) { c.String(&e.Name); g.Ref(c, &e.Node); ledger.Number(c, &e.Cookie) })
	numbers := slices.Sorted(maps.Keys(i.pages))
	ledger.List(c, &numbers, func(at *int64) { g.page(c, n, at) })
	if c.Reading() && n.Kind == KindDir {
		i.names = make(map[string]entry, len(entries))
		for _, e := range entries {
			i.names[e.Name] = entry{e.Node, e.Cookie}
		}
	} else if len(entries) > 0 && n.Kind != KindDir {
		c.Fail("names in a file")
	}
}

// page is one of a memory file: its number in the file, and that in the State.
func (g *Graph) page(c *ledger.Coder, n *Node, at *int64) {
	ledger.Number(c, at)
	i := len(g.Pages)
	ledger.Number(c, &i)
	if !c.Reading() {
		g.Pages = append(g.Pages, n.now.pages[*at])
		return
	}
	if i < 0 || i >= len(g.Pages) || *at < 0 || *at > (1<<63-1)/PageSize {
		c.Fail("page")
		return
	}
	if n.now.pages == nil {
		n.now.pages = map[int64]*Page{}
	}
	n.now.pages[*at] = g.Pages[i]
}

// sorted are a directory's own entries in the order in which they were made.
func (n *Node) sorted() (list []Child) {
	for name, e := range n.now.names {
		list = append(list, Child{name, e.node, e.cookie})
	}
	slices.SortFunc(list, func(a, b Child) int { return cmp.Compare(a.Cookie, b.Cookie) })
	return list
}

// Ref is a pointer to a node, of the image or the graph.
func (g *Graph) Ref(c *ledger.Coder, p **Node) {
	n := uint64(0)
	switch {
	case *p == nil || c.Reading():
	case (*p).Image:
		n = (*p).Ino
	default:
		n = uint64(len(g.image.nodes) + 1 + g.number[*p])
	}
	ledger.Number(c, &n)
	if !c.Reading() || n == 0 {
		return
	}
	switch n--; {
	case n < uint64(len(g.image.nodes)):
		*p = g.image.nodes[n]
	case n-uint64(len(g.image.nodes)) < uint64(len(g.nodes)):
		*p = g.nodes[n-uint64(len(g.image.nodes))]
	default:
		c.Fail("pointer to a file")
	}
}
