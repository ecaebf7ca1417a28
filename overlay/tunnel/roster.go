package tunnel

import (
	"slices"
	"time"
)

// Pauses before a node is dialed again.
const (
	pauseMin    = 500 * time.Millisecond
	pauseMax    = 30 * time.Second
	pauseLong   = 5 * time.Minute // after a refusal that lasts
	steadyAfter = time.Minute     // a connection that lasted for so long forgives failures
)

// nodeState is what an agent does with a node.
type nodeState int

const (
	nodeIdle nodeState = iota
	nodeDialing
	nodeUp
	nodeLeaving // it goes away; its connection isn't counted
)

// node is one node that an agent may dial.
type node struct {
	state    nodeState
	failures int       // in a row
	until    time.Time // it isn't dialed before
	since    time.Time // up
	why      string    // it isn't up
	refused  bool      // the last hello was, for a reason that lasts
}

// roster decides which nodes are dialed when. It is pure: time and chance come from outside.
type roster struct {
	want  int
	nodes map[string]*node
}

// next returns the node to dial now, or how long to wait until there may be one; 0 means until something else happens. The names come
// in the order of preference.
func (r *roster) next(names []string, now time.Time) (name string, wait time.Duration) {
	if r.nodes == nil {
		r.nodes = map[string]*node{}
	}
	r.forget(names)
	busy := 0
	for _, n := range r.nodes {
		if n.state == nodeDialing || n.state == nodeUp {
			busy++
		}
	}
	if busy >= r.want {
		return "", 0
	}
	for _, name := range names {
		n := r.nodes[name]
		if n == nil {
			n = &node{}
			r.nodes[name] = n
		}
		if n.state != nodeIdle {
			continue
		}
		left := n.until.Sub(now)
		if left <= 0 {
			n.state = nodeDialing
			return name, 0
		}
		if wait == 0 || left < wait {
			wait = left
		}
	}
	return "", wait
}

// forget drops idle nodes that nobody names any more.
func (r *roster) forget(names []string) {
	for name, n := range r.nodes {
		if n.state == nodeIdle && !slices.Contains(names, name) {
			delete(r.nodes, name)
		}
	}
}

// up takes note that a node has welcomed the agent.
func (r *roster) up(name string, now time.Time) {
	n := r.nodes[name]
	n.state, n.since, n.why, n.refused = nodeUp, now, "", false
}

// leaving takes note that a node goes away.
func (r *roster) leaving(name string) { r.nodes[name].state = nodeLeaving }

// ended takes note that a connection has ended, or couldn't be made. chance is between 0 and 1.
func (r *roster) ended(name string, now time.Time, why error, lasting bool, chance float64) {
	n := r.nodes[name]
	switch {
	case n.state == nodeDialing:
		n.failures++
	case now.Sub(n.since) >= steadyAfter:
		n.failures = 1
	default:
		n.failures++
	}
	n.state, n.refused, n.why = nodeIdle, lasting, ""
	if why != nil {
		n.why = why.Error()
	}
	pause := min(pauseMin<<min(n.failures-1, 10), pauseMax)
	if lasting {
		pause = pauseLong
	}
	n.until = now.Add(pause/2 + time.Duration(chance*float64(pause/2)))
}

// hopeless says that every node has refused the agent for a reason that lasts.
func (r *roster) hopeless(names []string) bool {
	for _, name := range names {
		if n := r.nodes[name]; n == nil || !n.refused {
			return false
		}
	}
	return true
}
