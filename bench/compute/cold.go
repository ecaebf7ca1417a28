package main

import (
	"context"
	"fmt"
	"time"

	"github.com/wherry/wherry/compute"
)

// cold asks programs that have no instance, one after the other.
func (r *run) cold(ctx context.Context) error {
	c, g, err := r.images()
	if err != nil {
		return err
	}
	const programs = 50
	for _, f := range []struct {
		language string
		image    []byte
		bar      float64
	}{{"C", c, 3}, {"Go", g, 10}} {
		var times []time.Duration
		err := r.with(compute.Options{Idle: time.Millisecond}, func(h *compute.Host) error {
			for i := range programs {
				if _, err := h.Deploy(ctx, compute.Program{Name: fmt.Sprint("cold-", i), Image: f.image}); err != nil {
					return err
				}
			}
			for range r.scaled(10) {
				if err := scaledToZero(h); err != nil {
					return err
				}
				for i := range programs {
					took, status, err := ask(h, fmt.Sprint("cold-", i), "/")
					if err != nil || status != 200 {
						return fmt.Errorf("status %d: %w", status, err)
					}
					times = append(times, took)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		r.tell("cold", fmt.Sprintf("%s, scaled to zero: time to the answer, p50 of %d", f.language, len(times)), quantile(times, .5), "ms", 0, 0)
		r.tell("cold", f.language+", scaled to zero: p99", quantile(times, .99), "ms", f.bar, 0)
	}
	return nil
}

// scaledToZero waits until no program has an instance.
func scaledToZero(h *compute.Host) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		ready := 0
		for _, m := range h.Metrics() {
			ready += m.Ready + m.Busy
		}
		if ready == 0 {
			return nil
		}
	}
	return fmt.Errorf("there are instances that nobody asks, a minute later")
}
