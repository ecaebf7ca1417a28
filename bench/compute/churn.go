package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wherry/wherry/compute"
)

// churn deploys and removes programs while another one is asked.
func (r *run) churn(ctx context.Context) error {
	c, _, err := r.images()
	if err != nil {
		return err
	}
	return r.with(compute.Options{}, func(h *compute.Host) error {
		if _, err := h.Deploy(ctx, compute.Program{Name: "stays", Image: c}); err != nil {
			return err
		}
		var asked, failed atomic.Int64
		stop := make(chan struct{})
		var clients sync.WaitGroup
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(2 * time.Millisecond):
				}
				asked.Add(1)
				if _, status, err := ask(h, "stays", "/"); err != nil || status != 200 {
					failed.Add(1)
				}
			}
		})
		deploy := func(n int) error {
			for i := range n {
				name := fmt.Sprint("comes-and-goes-", i%7)
				p := compute.Program{Name: name, Image: c, Env: []string{fmt.Sprint("N=", i)}}
				if i%3 == 0 { // and takes the place of the one before it now and then
					if _, err := h.Deploy(ctx, compute.Program{Name: name, Image: c}); err != nil {
						return err
					}
				}
				if _, err := h.Deploy(ctx, p); err != nil {
					return err
				}
				if _, status, err := ask(h, name, "/"); err != nil || status != 200 {
					return fmt.Errorf("status %d: %w", status, err)
				}
				if err := h.Remove(name); err != nil {
					return err
				}
			}
			return nil
		}
		if err := deploy(200); err != nil { // what is made once is there
			return err
		}
		before, err := held()
		if err != nil {
			return err
		}
		n := r.scaled(10_000)
		if err := deploy(n); err != nil {
			return err
		}
		after, err := held()
		close(stop)
		clients.Wait()
		r.tell("churn", fmt.Sprintf("%d deployments and removals: requests to another program that failed, of %d", n, asked.Load()), float64(failed.Load()), "", .1, 0)
		r.tell("churn", "memory of the process before", before.bytes, "MiB", 0, 0)
		r.tell("churn", "memory of the process after", after.bytes, "MiB", before.bytes*1.1+16, 0)
		r.tell("churn", "descriptors before", before.descriptors, "", 0, 0)
		r.tell("churn", "descriptors after", after.descriptors, "", before.descriptors+4, 0)
		r.tell("churn", "goroutines before", before.goroutines, "", 0, 0)
		r.tell("churn", "goroutines after", after.goroutines, "", before.goroutines+4, 0)
		return err
	})
}

// holding is what the process has.
type holding struct{ bytes, descriptors, goroutines float64 }

func held() (holding, error) {
	runtime.GC()
	runtime.GC() // what finalizers have let go, too
	var h holding
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return h, err
	}
	fields := bytes.Fields(data) // size, resident, … in pages (proc_pid_statm(5))
	pages, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return h, err
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return h, err
	}
	h.bytes, h.descriptors, h.goroutines = float64(pages*os.Getpagesize())/(1<<20), float64(len(files)), float64(runtime.NumGoroutine())
	return h, nil
}
