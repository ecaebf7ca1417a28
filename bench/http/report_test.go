package main

import (
	"strings"
	"testing"
)

func TestTableHasMediansAndRatios(t *testing.T) {
	hit := cell{Name: "hit 1 KiB", Size: 1024, Hit: true}
	r := &report{Versions: map[string]string{"wherry": "wherry 1", "nginx": "nginx/2"}}
	for _, perSecond := range []float64{300, 100, 200} {
		r.add(hit, "wherry", sample{Requests: 10, PerSecond: perSecond, CPUMicros: 30, P50Micros: 1500, P99Micros: 2500})
	}
	r.add(hit, "nginx", sample{Requests: 10, PerSecond: 400, CPUMicros: 10})
	var out strings.Builder
	if err := r.finish(&out, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| hit 1 KiB | wherry | 200 | 1.50 | 2.50 | 30.0 | 0.50 | 3.00 |\n",
		"| hit 1 KiB | nginx | 400 | 0.00 | 0.00 | 10.0 | 1.00 | 1.00 |\n",
		"- nginx: nginx/2\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

func TestTableWithoutNginx(t *testing.T) {
	r := &report{}
	r.add(cell{Name: "miss"}, "wherry", sample{Requests: 10, FromOrigin: 10, PerSecond: 200})
	var out strings.Builder
	if err := r.finish(&out, false); err != nil {
		t.Fatal(err)
	}
	if want := "| – | – |\n"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in:\n%s", want, out.String())
	}
}

func TestInvalidSamplesFailTheRun(t *testing.T) {
	hit, miss := cell{Name: "hit", Hit: true}, cell{Name: "miss"}
	for _, c := range []struct {
		name    string
		cell    cell
		sample  sample
		invalid bool
	}{
		{"hits from the cache", hit, sample{Requests: 1000}, false},
		{"hits from the origin", hit, sample{Requests: 1000, FromOrigin: 500}, true},
		{"misses from the origin", miss, sample{Requests: 1000, FromOrigin: 1001}, false},
		{"misses from the cache", miss, sample{Requests: 1000, FromOrigin: 999}, true},
		{"errors", hit, sample{Requests: 1000, Errors: 1}, true},
		{"nothing", hit, sample{}, true},
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

func TestParseLoad(t *testing.T) {
	out := "Running 2s test @ http://localhost:1\n  1 threads and 32 connections\n" +
		`{"requests":500,"duration_us":2000000,"bytes":1,"p50_us":70,"p99_us":900,"errors":3}` + "\n"
	got, err := parseLoad([]byte(out))
	want := sample{Requests: 500, Seconds: 2, PerSecond: 250, P50Micros: 70, P99Micros: 900, Errors: 3}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, bad := range []string{"", "unable to connect to localhost:1", `{"requests":5}`} {
		if _, err := parseLoad([]byte(bad)); err == nil {
			t.Errorf("%q was taken for figures", bad)
		}
	}
}
