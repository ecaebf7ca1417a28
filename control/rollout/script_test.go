package rollout

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

var rewrite = flag.Bool("rewrite", false, "write what the commands of testdata/*.txt print back into them")

// TestScripts plays testdata/*.txt. A command stands on a line that begins with "> "; what it prints follows. Times count from the command begin.
//
//	net CLUSTERS SIZE MODEL     a network that serves MODEL for 20 s
//	node NAME CLUSTER ROLE...   one more
//	begin [KEY] [SETTING...]    bake=, canary=, only=, emergency
//	old MODEL, new MODEL        what the revisions make of a request from now on
//	run [DURATION]              until the end, or as long as that
//	cut NODE..., join NODE...   nothing is heard of a node
//	steer HOW
//	phases
//
// `go test ./control/rollout -run TestScripts -rewrite` fills them in.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(string(text))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got != string(text) && !*rewrite {
				t.Errorf("%s (-rewrite updates it):\n%s", file, got)
			}
		})
	}
}

type script struct {
	w        *world
	old, new model
}

func play(text string) string {
	var s script
	var out strings.Builder
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "> "):
			out.WriteString(line)
			out.WriteString(s.command(strings.Fields(line[2:])))
		case strings.HasPrefix(line, "#") || line == "\n":
			out.WriteString(line)
		}
	}
	return out.String()
}

func (s *script) command(words []string) string {
	args := words[1:]
	switch words[0] {
	case "net":
		s.old = modelOf(args[2:])
		s.new = s.old
		s.w = newWorld(number(args[0]), number(args[1]), s.old)
	case "node":
		n := feed.NodeRecord{Name: config.NodeID(args[0]), Cluster: config.ClusterName(args[1])}
		for _, r := range args[2:] {
			n.Roles = append(n.Roles, feed.Role(r))
		}
		s.w.add(n)
	case "begin":
		s.w.begin(changeOf(args))
	case "old":
		s.old = modelOf(args)
	case "new":
		s.new = modelOf(args)
	case "run":
		return s.run(args)
	case "cut", "join":
		for _, id := range args {
			s.w.edges[config.NodeID(id)].gone = words[0] == "cut"
		}
	case "steer":
		s.w.state, _ = s.w.state.Step(Input{Now: s.w.now, Seen: s.w.seen(), Steer: Steering(args[0]), By: "ann"})
		return fmt.Sprintf("%s: %s\n", s.w.state.State, s.w.state.Why)
	case "phases":
		var out strings.Builder
		for _, p := range s.w.state.Phases {
			fmt.Fprintf(&out, "%s:", p.Name)
			for _, id := range p.Nodes {
				fmt.Fprintf(&out, " %s", id)
			}
			out.WriteString("\n")
		}
		return out.String()
	default:
		return "unknown command\n"
	}
	return ""
}

func (s *script) run(args []string) string {
	limit := 15 * time.Minute
	if len(args) > 0 {
		limit, _ = time.ParseDuration(args[0])
	}
	w, end := s.w, s.w.now.Add(limit)
	var out strings.Builder
	for !w.state.IsOver() && w.now.Before(end) {
		was, at := w.state, w.now.Sub(w.began)
		w.step(s.old, s.new)
		switch now := w.state; {
		case now.IsOver():
			fmt.Fprintf(&out, "%s %s in %s: %s\n", at, now.State, now.Phases[now.Phase].Name, now.Why)
		case now.Phase != was.Phase:
			fmt.Fprintf(&out, "%s %s → %s: %s\n", at, was.Phases[was.Phase].Name, now.Phases[now.Phase].Name, now.Phases[was.Phase].Verdict)
		case now.Why != was.Why:
			fmt.Fprintf(&out, "%s %s: %s\n", at, now.Phases[now.Phase].Name, now.Why)
		}
	}
	nodes, all := w.state.Variant()
	fmt.Fprintf(&out, "%s, at most %d held it; now ", w.state.State, w.most)
	switch {
	case all:
		out.WriteString("all\n")
	case len(nodes) == 0:
		out.WriteString("nobody\n")
	default:
		fmt.Fprintf(&out, "%d nodes\n", len(nodes))
	}
	return out.String()
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func changeOf(args []string) (c Change) {
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		switch key {
		case "bake":
			c.Settings.Bake, _ = time.ParseDuration(value)
		case "canary":
			c.Settings.Canaries = append(c.Settings.Canaries, config.NodeID(value))
		case "only":
			c.Only = append(c.Only, config.NodeID(value))
		case "emergency":
			c.Emergency = true
		default:
			c.Key = a
		}
	}
	return c
}

func modelOf(args []string) (m model) {
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		share, _ := strconv.ParseFloat(value, 64)
		switch key {
		case "clients":
			m.clients = share
		case "errors":
			m.errors = share
		case "rejected":
			m.rejected = share
		case "hits":
			m.hits = share
		case "latency":
			m.latency, _ = time.ParseDuration(value)
		case "crash":
			m.crash = true
		case "dies":
			m.dies = true
		case "refuse":
			m.refuse = true
		case "ignore":
			m.ignore = true
		case "silent":
			m.silent = true
		default:
			panic("no such word: " + a)
		}
	}
	return m
}
