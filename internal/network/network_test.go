package network

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// recorder notes what parts do, in order.
type recorder struct {
	mu     sync.Mutex // protects events
	events []string
}

func (r *recorder) note(event string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event)
}

func (r *recorder) part(name string) Part {
	return Part{name, func(ctx context.Context) error {
		<-ctx.Done()
		r.note("stop " + name)
		return nil
	}}
}

func TestPartsStopInReverse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- RunParts(ctx, []Part{r.part("log"), r.part("caches"), r.part("edges")}, func() { r.note("ready") })
		}()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		want := []string{"ready", "stop edges", "stop caches", "stop log"}
		if !slices.Equal(r.events, want) {
			t.Errorf("events %q, want %q", r.events, want)
		}
	})
}

func TestAPartThatFailsStopsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		broken := Part{"dns", func(context.Context) error { return errors.New("socket gone") }}
		err := RunParts(t.Context(), []Part{r.part("log"), broken, r.part("edges")}, func() {})
		if err == nil || !strings.Contains(err.Error(), "dns: socket gone") {
			t.Errorf("error %v, want the part's name and its error", err)
		}
		if want := []string{"stop edges", "stop log"}; !slices.Equal(r.events, want) {
			t.Errorf("events %q, want %q", r.events, want)
		}
	})
}

func TestAPartThatEndsByItselfIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quitter := Part{"portal", func(context.Context) error { return nil }}
		err := RunParts(t.Context(), []Part{quitter}, func() {})
		if err == nil || !strings.Contains(err.Error(), "portal ended by itself") {
			t.Errorf("error %v, want one that names the part", err)
		}
	})
}
