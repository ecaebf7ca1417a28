package feed

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// What a report may hold at most. Control has one of each node, of thousands, in memory.
const (
	reportNameMax  = 253  // names of nodes and sites
	reportShortMax = 256  // versions, addresses
	reportLongMax  = 4096 // texts for people
	reportListMax  = 4096 // documents and sites
	reportFewMax   = 64   // roles, doors, alerts, buckets
	reportTextMax  = 256 << 10
)

// Check says what is wrong with a report that another node sent. One that is right is good to be kept, shown and sent on.
func (r *Report) Check() error {
	var c reportCheck
	c.name("node", string(r.Node))
	if r.Node == "" {
		c.wrong("no name of a node")
	}
	c.name("parent", string(r.Parent))
	c.text("boot", r.Boot, reportShortMax)
	c.text("version", r.Version, reportShortMax)
	c.text("config", r.Config, reportShortMax)
	c.count("roles", len(r.Roles), reportFewMax)
	c.count("holds", len(r.Holds), reportListMax)
	c.count("refused", len(r.Refused), reportListMax)
	c.count("alerts", len(r.Alerts), reportFewMax)
	c.count("sites", len(r.Sites), reportListMax)
	c.count("doors", len(r.Doors), reportFewMax)
	if c.err == nil {
		c.lists(r)
	}
	c.amount("cpu", r.Load.CPU)
	c.amount("memory", float64(r.Load.Memory))
	c.amount("connections", float64(r.Load.Connections))
	c.amount("requests", r.Load.Requests)
	if c.total > reportTextMax {
		c.wrong("%d bytes of text, more than %d", c.total, reportTextMax)
	}
	if c.err != nil {
		return fmt.Errorf("a report of %.64q: %w", r.Node, c.err)
	}
	return nil
}

// reportCheck keeps the first thing that is wrong.
type reportCheck struct {
	total int
	err   error
}

func (c *reportCheck) lists(r *Report) {
	for _, role := range r.Roles {
		c.name("role", string(role))
	}
	for key := range r.Holds {
		c.text("key", key, keyMax)
	}
	for i := range r.Refused {
		c.text("key", r.Refused[i].Key, keyMax)
		c.text("why", r.Refused[i].Why, reportLongMax)
		c.amount("size", float64(r.Refused[i].Ref.Size))
	}
	for _, alert := range r.Alerts {
		c.text("alert", alert, reportLongMax)
	}
	for i := range r.Sites {
		c.text("site", string(r.Sites[i].Site), reportShortMax)
		c.count("buckets of latency", len(r.Sites[i].Latency), reportFewMax)
		c.total += 8 * len(r.Sites[i].Latency)
	}
	for name, at := range r.Doors {
		c.name("door", name)
		c.text("address", at, reportShortMax)
	}
}

func (c *reportCheck) wrong(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

func (c *reportCheck) name(what, s string) { c.text(what, s, reportNameMax) }

func (c *reportCheck) text(what, s string, limit int) {
	c.total += len(s)
	switch {
	case len(s) > limit:
		c.wrong("%s has %d bytes, more than %d", what, len(s), limit)
	case !utf8.ValidString(s):
		c.wrong("%s isn't UTF-8", what)
	}
}

func (c *reportCheck) count(what string, n, limit int) {
	if n > limit {
		c.wrong("%d %s, more than %d", n, what, limit)
	}
}

func (c *reportCheck) amount(what string, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
		c.wrong("%s is %v", what, v)
	}
}
