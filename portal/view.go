package portal

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// tone is how worried the page looks.
type tone string

const (
	calm    tone = "calm"
	waiting tone = "waiting"
	worried tone = "worried"
	broken  tone = "broken"
)

// view is what the templates show: a Status in words. It is a pure function of the Status and the time.
type view struct {
	Status
	Tone     tone
	Headline string
	Detail   string
	Running  string // since Started
	Nodes    []nodeView
	Sites    []siteView
	Recent   []incidentView
	Total    totals
}

type nodeView struct {
	Node
	Cluster string
	For     string // since Since
}

// Fill is how much of the cache is used, 0 to 1.
func (n nodeView) Fill() float64 { return ratio(n.StoredBytes, n.StoredLimitBytes) }

type siteView struct {
	Site
	Origins []originView
}

type originView struct {
	Origin
	For string
}

type incidentView struct {
	Incident
	Ago string
}

type totals struct {
	Requests, Hits, SentBytes, StoredObjects, StoredBytes uint64
}

func newView(s Status, now time.Time) view {
	v := view{Status: s, Running: age(s.Started, now)}
	up, failing, origins := 0, 0, 0
	for _, c := range s.Clusters {
		for _, n := range c.Nodes {
			v.Nodes = append(v.Nodes, nodeView{Node: n, Cluster: string(c.Name), For: age(n.Since, now)})
			v.Total.add(n)
			if n.Up {
				up++
			}
		}
	}
	for _, site := range s.Sites {
		sv := siteView{Site: site}
		for _, o := range site.Origins {
			sv.Origins = append(sv.Origins, originView{o, age(o.Since, now)})
			origins++
			if !o.Healthy {
				failing++
			}
		}
		v.Sites = append(v.Sites, sv)
	}
	for _, i := range s.Incidents {
		v.Recent = append(v.Recent, incidentView{i, age(i.At, now)})
	}
	v.Headline, v.Tone = headline(s.Ready, up, len(v.Nodes))
	v.Detail = detail(len(s.Sites), origins, failing)
	if v.Tone == calm && failing > 0 {
		v.Tone = worried
	}
	return v
}

func (t *totals) add(n Node) {
	t.Requests += n.Requests
	t.Hits += n.Hits
	t.SentBytes += n.SentBytes
	t.StoredObjects += n.StoredObjects
	t.StoredBytes += n.StoredBytes
}

// headline says in one line how the edges are.
func headline(ready bool, up, nodes int) (string, tone) {
	switch down := nodes - up; {
	case nodes == 0:
		return "There are no edges yet", waiting
	case !ready:
		return "The network is starting", waiting
	case nodes == 1 && up == 1:
		return "The edge answers", calm
	case nodes == 1:
		return "The edge does not answer", broken
	case down == 0:
		return fmt.Sprintf("All %d edges answer", nodes), calm
	case up == 0:
		return fmt.Sprintf("None of the %d edges answers", nodes), broken
	case down == 1:
		return fmt.Sprintf("1 of %d edges does not answer", nodes), worried
	default:
		return fmt.Sprintf("%d of %d edges do not answer", down, nodes), worried
	}
}

// detail says in one line how the sites are.
func detail(sites, origins, failing int) string {
	if sites == 0 {
		return "No site is configured."
	}
	what := plural(sites, "site") + ", " + plural(origins, "origin")
	switch {
	case failing == 0:
		return what + ", none failing."
	case failing == origins:
		return what + ", all failing."
	}
	return fmt.Sprintf("%s, %d failing.", what, failing)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// age is a duration for people: its largest unit alone, on one line.
func age(from, now time.Time) string {
	if from.IsZero() {
		return ""
	}
	d := max(0, now.Sub(from))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d\u00a0s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d\u00a0min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d\u00a0h", d/time.Hour)
	}
	return fmt.Sprintf("%d\u00a0days", d/(24*time.Hour))
}

// countText groups the digits of n.
func countText(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	var out strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			out.WriteByte(',')
		}
		out.WriteRune(d)
	}
	return out.String()
}

// bytesText writes n in the units of the configuration.
func bytesText(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/1024, 0
	for v >= 1023.5 && unit < len(units)-1 {
		v, unit = v/1024, unit+1
	}
	if v < 10 {
		return fmt.Sprintf("%.1f %ciB", v, units[unit])
	}
	return fmt.Sprintf("%.0f %ciB", v, units[unit])
}

// percentText writes part of whole, or a dash where there is no whole. Only all of it is 100 %, and only none 0 %.
func percentText(part, whole uint64) string {
	switch r := ratio(part, whole); {
	case whole == 0:
		return "–"
	case part > 0 && r < 0.005:
		return "<1 %"
	case part < whole && r > 0.99:
		return fmt.Sprintf("%.2f %%", min(r*100, 99.99))
	default:
		return fmt.Sprintf("%.0f %%", r*100)
	}
}

func ratio(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return min(1, float64(part)/float64(whole))
}
