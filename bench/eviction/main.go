package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// contender is a policy with its name.
type contender struct {
	name string
	make func(sizes []int64, limit int64) policy
}

func contenders() []contender {
	return []contender{
		{"LRU", newLRU},
		{"SIEVE", newSieve},
		{"S3-FIFO", newS3FIFO(0)},
		{"GDSF", newGDSF(1)},
		{"GDSF √", newGDSF(0.5)},
		{"S3 ∜size", newS3FIFO(0.25)},
		{"S3 √size", newS3FIFO(0.5)},
		{"S3 size", newS3FIFO(1)},
		{"S3 √size, 64 shards", newSharded(64, newS3FIFO(0.5))},
		{"store.Memory", newMemory},
	}
}

// ratios are what hit of all, in percent.
type ratios struct{ objects, bytes float64 }

// run answers t with p.
func run(t *trace, p policy) ratios {
	var hits, hitBytes, bytes int64
	for _, o := range t.requests {
		bytes += t.sizes[o]
		if p.request(o) {
			hits++
			hitBytes += t.sizes[o]
		}
	}
	return ratios{100 * float64(hits) / float64(len(t.requests)), 100 * float64(hitBytes) / float64(bytes)}
}

// parts are how much of its objects a cache has room for.
var parts = []float64{0.001, 0.01, 0.1}

// result is what all contenders reach on one trace with one size of cache.
type result struct {
	trace string
	part  float64
	of    []ratios // beside the contenders
}

func main() {
	n := flag.Int("requests", 1_000_000, "requests in each trace")
	flag.Parse()
	cs := contenders()
	results := measure(traces(*n), cs)
	fmt.Printf("Object hit ratio, %%:\n\n")
	table(os.Stdout, cs, results, func(r ratios) float64 { return r.objects })
	fmt.Printf("\nByte hit ratio, %%:\n\n")
	table(os.Stdout, cs, results, func(r ratios) float64 { return r.bytes })
}

func measure(ts []trace, cs []contender) (results []result) {
	for i := range ts {
		footprint := float64(ts[i].footprint())
		for _, part := range parts {
			r := result{ts[i].name, part, make([]ratios, len(cs))}
			var group sync.WaitGroup
			for j, c := range cs {
				group.Go(func() { r.of[j] = run(&ts[i], c.make(ts[i].sizes, int64(part*footprint))) })
			}
			group.Wait()
			results = append(results, r)
		}
	}
	return results
}

// table writes one of the ratios of each result in Markdown, and how much more than the first contender each has in the mean and at
// worst.
func table(w io.Writer, cs []contender, results []result, of func(ratios) float64) {
	fmt.Fprint(w, "| trace | cache |")
	for _, c := range cs {
		fmt.Fprintf(w, " %s |", c.name)
	}
	fmt.Fprintf(w, "\n|---|--:|%s\n", strings.Repeat("--:|", len(cs)))
	mean, worst := make([]float64, len(cs)), make([]float64, len(cs))
	for i, r := range results {
		fmt.Fprintf(w, "| %s | %g %% |", r.trace, r.part*100)
		for j := range cs {
			more := of(r.of[j]) - of(r.of[0])
			mean[j] += more / float64(len(results))
			if i == 0 || more < worst[j] {
				worst[j] = more
			}
			fmt.Fprintf(w, " %.1f |", of(r.of[j]))
		}
		fmt.Fprintln(w)
	}
	for _, row := range []struct {
		name   string
		values []float64
	}{{"more than LRU, mean", mean}, {"more than LRU, at worst", worst}} {
		fmt.Fprintf(w, "| %s | |", row.name)
		for _, v := range row.values {
			fmt.Fprintf(w, " %+.1f |", v)
		}
		fmt.Fprintln(w)
	}
}
