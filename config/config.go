package config

import (
	"crypto/sha256"
	"encoding/hex"
	"reflect"

	"go.yaml.in/yaml/v3"
)

// FileSizeMax is the longest file that Parse reads.
const FileSizeMax = 5 << 20

const (
	depthMax    = 64      // nested lists and mappings
	ListMax     = 10_000  // entries of one list
	expandedMax = 100_000 // values that stand in the file only through aliases, all together
)

// begin is what to do about a file that isn't a configuration at all.
const begin = "begin with the one that `wherry config sample` prints"

// Parse reads a configuration. The file is only named in the problems. The snapshot is nil if any problem is an error; with
// warnings alone, it is there.
func Parse(file string, data []byte) (*Snapshot, Problems) {
	report := newCollector(file)
	root := parseYAML(data, report)
	if root == nil {
		return nil, report.problems()
	}
	w := &walk{grammar: mustGrammar(), report: report, places: map[string]place{}}
	var n Network
	w.network(root, &n)
	complete(&n)
	check(&n, w.places, report)
	problems := report.problems()
	if problems.Err() != nil {
		return nil, problems
	}
	sum := sha256.Sum256(data)
	s := &Snapshot{Network: n, Revision: hex.EncodeToString(sum[:])[:revisionDigits]}
	s.files = files(&n, w.places)
	s.index()
	return s, problems
}

const revisionDigits = 12

// network decodes the whole file.
func (w *walk) network(root *yaml.Node, n *Network) {
	out := reflect.ValueOf(n).Elem()
	w.grammar.preset(out)
	w.mapping("", root, out)
}
