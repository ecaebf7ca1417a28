package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/wherry/wherry/compute"
)

const (
	programsAsked = 200
	tenantsAsked  = 50
	clientsGood   = 8
	clientsBad    = 8
	budget        = 1 << 30
)

// tenants asks 200 programs of 50 tenants at a steady rate, without and beside a tenant whose programs loop, take memory, make system calls, write and crash.
func (r *run) tenants(ctx context.Context) error {
	c, g, err := r.images()
	if err != nil {
		return err
	}
	bad, err := r.image("hostile", "gcc", "-O2", "-static", "-o", "OUT", "bench/compute/testdata/hostile/hostile.c")
	if err != nil {
		return err
	}
	return r.with(compute.Options{Memory: budget}, func(h *compute.Host) error {
		for i := range programsAsked {
			p := compute.Program{Name: fmt.Sprint("p", i), Tenant: fmt.Sprint("t", i%tenantsAsked), Image: c, Memory: 32 << 20}
			if i%2 == 1 {
				p.Image = g
			}
			if _, err := h.Deploy(ctx, p); err != nil {
				return err
			}
		}
		if _, err := h.Deploy(ctx, compute.Program{Name: "bad", Tenant: "hostile", Image: bad, Memory: 32 << 20}); err != nil {
			return err
		}
		long := time.Duration(r.scaled(20)) * time.Second
		quiet, most, err := steady(h, long, 0)
		if err != nil {
			return err
		}
		beside, mostBeside, err := steady(h, long, clientsBad)
		if err != nil {
			return err
		}
		r.tell("tenants", fmt.Sprintf("200 programs of 50 tenants, quiet: p50 of %d", len(quiet)), quantile(quiet, .5), "ms", 0, 0)
		r.tell("tenants", "quiet: p99", quantile(quiet, .99), "ms", 0, 0)
		r.tell("tenants", fmt.Sprintf("beside a hostile tenant: p50 of %d", len(beside)), quantile(beside, .5), "ms", 0, 0)
		r.tell("tenants", "beside a hostile tenant: p99", quantile(beside, .99), "ms", 0, 0)
		r.tell("tenants", "p99 beside a hostile tenant / quiet", quantile(beside, .99)/quantile(quiet, .99), "", 2, 0)
		r.tell("tenants", "memory charged, at most", float64(max(most, mostBeside))/(1<<20), "MiB", budget>>20, 0)
		return nil
	})
}

// steady has clients ask for a while, each every 80 ms or so, by a skewed distribution, and returns what they waited, and the memory that the programs had at most.
func steady(h *compute.Host, long time.Duration, hostile int) (times []time.Duration, memory int64, err error) {
	end := time.Now().Add(long)
	var mu sync.Mutex
	var clients sync.WaitGroup
	for n := range clientsGood {
		random := rand.New(rand.NewPCG(1, uint64(n)))
		which := rand.NewZipf(random, 1.1, 1, programsAsked-1)
		clients.Go(func() {
			for next := time.Now(); next.Before(end); {
				time.Sleep(time.Until(next))
				took, status, e := ask(h, fmt.Sprint("p", which.Uint64()), "/")
				took += time.Since(next) - took // it counts from when it was due
				mu.Lock()
				if times = append(times, took); e != nil || status != 200 {
					err = fmt.Errorf("status %d: %w", status, e)
				}
				mu.Unlock()
				next = next.Add(time.Duration(random.ExpFloat64() * float64(80*time.Millisecond)))
			}
		})
	}
	for n := range hostile {
		clients.Go(func() {
			for i := n; time.Now().Before(end); i++ {
				_, _, _ = ask(h, "bad", []string{"/loop", "/memory", "/exits", "/output", "/crash"}[i%5]) // it fails
			}
		})
	}
	clients.Go(func() {
		for ; time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			var sum int64
			for _, m := range h.Metrics() {
				sum += m.Memory
			}
			memory = max(memory, sum)
		}
	})
	clients.Wait()
	return times, memory, err
}
