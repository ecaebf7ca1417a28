package feed

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/wherry/wherry/config"
)

func TestReportsAreBounded(t *testing.T) {
	good := func() *Report {
		return &Report{
			Node: "lisbon-1", Boot: "b", Version: "1.4.0", Roles: []Role{RoleEdge}, Config: "cfg-1", Holds: map[string]uint64{"site/a": 3},
			Refused: []Refusal{{Key: "site/a", Why: "no"}}, Alerts: []string{"was away"},
			Sites: []SiteTally{{Site: "a", Latency: make([]uint64, 20)}}, Doors: map[string]string{"http": "[::1]:80"},
		}
	}
	if err := good().Check(); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", reportLongMax)
	fill := func(n int, add func(i int)) {
		for i := range n {
			add(i)
		}
	}
	for name, spoil := range map[string]func(r *Report){
		"no node":     func(r *Report) { r.Node = "" },
		"long node":   func(r *Report) { r.Node = config.NodeID(long) },
		"long parent": func(r *Report) { r.Parent = config.NodeID(long) },
		"long boot":   func(r *Report) { r.Boot = long },
		"version":     func(r *Report) { r.Version = "\xff" },
		"config":      func(r *Report) { r.Config = long },
		"role":        func(r *Report) { r.Roles[0] = Role(long) },
		"roles":       func(r *Report) { r.Roles = make([]Role, reportFewMax+1) },
		"held key":    func(r *Report) { r.Holds[long] = 1 },
		"holds":       func(r *Report) { fill(reportListMax+1, func(i int) { r.Holds[fmt.Sprint(i)] = 1 }) },
		"refused key": func(r *Report) { r.Refused[0].Key = long },
		"why":         func(r *Report) { r.Refused[0].Why = long + "x" },
		"size":        func(r *Report) { r.Refused[0].Ref.Size = -1 },
		"refused":     func(r *Report) { r.Refused = make([]Refusal, reportListMax+1) },
		"alert":       func(r *Report) { r.Alerts[0] = "\xff" },
		"alerts":      func(r *Report) { r.Alerts = make([]string, reportFewMax+1) },
		"site":        func(r *Report) { r.Sites[0].Site = config.SiteName(long) },
		"buckets":     func(r *Report) { r.Sites[0].Latency = make([]uint64, reportFewMax+1) },
		"sites":       func(r *Report) { r.Sites = make([]SiteTally, reportListMax+1) },
		"door":        func(r *Report) { r.Doors["http"] = long },
		"doors":       func(r *Report) { fill(reportFewMax+1, func(i int) { r.Doors[fmt.Sprint(i)] = "" }) },
		"cpu":         func(r *Report) { r.Load.CPU = math.NaN() },
		"memory":      func(r *Report) { r.Load.Memory = -1 },
		"connections": func(r *Report) { r.Load.Connections = -1 },
		"requests":    func(r *Report) { r.Load.Requests = math.Inf(1) },
		"text in all": func(r *Report) { fill(100, func(int) { r.Refused = append(r.Refused, Refusal{Why: long}) }) },
		"buckets in all": func(r *Report) {
			fill(600, func(int) { r.Sites = append(r.Sites, SiteTally{Latency: make([]uint64, 64)}) })
		},
	} {
		r := good()
		if spoil(r); r.Check() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
