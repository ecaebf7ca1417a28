package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTableHasMediansAndRatios(t *testing.T) {
	hits := cell{Name: "hit 1 KiB", Size: 1024, Target: 0.6}
	r := &report{Versions: map[string]string{"wherry": "wherry 1", "nginx": "nginx/2"}}
	for _, perSecond := range []float64{300, 100, 200} {
		r.add(hits, "wherry", sample{Requests: 10, Bytes: 10240, PerSecond: perSecond, CPUMicros: 30, P50Micros: 1500, P99Micros: 2500})
	}
	r.add(hits, "nginx", sample{Requests: 10, Bytes: 10240, PerSecond: 400, CPUMicros: 10, P99Micros: 5000})
	var out strings.Builder
	if err := r.finish(&out, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| CPU to nginx | target |\n",
		"| hit 1 KiB | wherry | 200 | 1.50 | 2.50 | 30.0 | 0.50 | 0.50 | 3.00 | ≤ 0.60 |\n",
		"| hit 1 KiB | nginx | 400 | 0.00 | 5.00 | 10.0 | 1.00 | 1.00 | 1.00 |  |\n",
		"- nginx: nginx/2\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

func TestTableWithoutNginx(t *testing.T) {
	r := &report{}
	r.add(cell{Name: "miss", Kind: miss}, "wherry", sample{Requests: 10, FromOrigin: 10, PerSecond: 200})
	var out strings.Builder
	if err := r.finish(&out, false); err != nil {
		t.Fatal(err)
	}
	if want := "| – | – | – |  |\n"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in:\n%s", want, out.String())
	}
}

func TestInvalidSamplesFailTheRun(t *testing.T) {
	hits, misses := cell{Name: "hit", Size: 10}, cell{Name: "miss", Kind: miss}
	for _, c := range []struct {
		name    string
		cell    cell
		sample  sample
		invalid bool
	}{
		{"hits from the cache", hits, sample{Requests: 1000, Bytes: 10_000}, false},
		{"hits from the origin", hits, sample{Requests: 1000, Bytes: 10_000, FromOrigin: 500}, true},
		{"misses from the origin", misses, sample{Requests: 1000, FromOrigin: 1001}, false},
		{"misses from the cache", misses, sample{Requests: 1000, FromOrigin: 999}, true},
		{"errors", hits, sample{Requests: 1000, Bytes: 10_000, Errors: 1}, true},
		{"short bodies", hits, sample{Requests: 1000, Bytes: 9_999}, true},
		{"nothing", hits, sample{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &report{}
			r.add(c.cell, "wherry", c.sample)
			var out strings.Builder
			if err := r.finish(&out, false); (err != nil) != c.invalid {
				t.Errorf("got %v, want invalid %v", err, c.invalid)
			}
		})
	}
}

func TestIdleConnectionsHaveATableOfTheirOwn(t *testing.T) {
	r := &report{}
	c := cell{Name: "idle connections", Kind: idle, Target: 400}
	r.add(c, "wherry", sample{Requests: 4000, Connections: 2000, MemoryBefore: 20, Memory: 50})
	r.add(c, "nginx", sample{Requests: 4000, Connections: 2000, MemoryBefore: 30, Memory: 31})
	var out strings.Builder
	if err := r.finish(&out, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| idle connections | wherry | 2000 | 20 | 50 | 15.0 | ≤ 400 MB |\n", "| idle connections | nginx | 2000 | 30 | 31 | 0.5 |  |\n",
	} {
		if strings.Count(out.String(), want) != 1 || strings.Count(out.String(), "| idle") != 2 {
			t.Errorf("not just one %q in:\n%s", want, out.String())
		}
	}
}

func TestConfigurationsCanBeMade(t *testing.T) {
	s := &settings{Origin: "127.0.0.1:1", HTTP: "127.0.0.1:2", HTTPS: "127.0.0.1:3", PEM: "/localhost.pem"}
	for _, c := range contenders("wherry") {
		s.Dir = t.TempDir()
		if err := writeConfigs(filepath.Join(s.Dir, "config"), c.name, s); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	ports, err := os.ReadFile(filepath.Join(s.Dir, "records.config"))
	if want := " 2:ip-in=127.0.0.1 3:ssl:ip-in=127.0.0.1\n"; err != nil || !strings.Contains(string(ports), want) {
		t.Errorf("no %q in what trafficserver, the last, got: %q, %v", want, ports, err)
	}
}
