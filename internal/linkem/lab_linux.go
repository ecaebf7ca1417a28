package linkem

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
)

// cablesMax is what fits into the third byte of the addresses.
const cablesMax = 250

// Lab is a set of places joined by cables. Make places and cables first, then Run it, then Close it.
type Lab struct {
	places []*Place
	cables []*Cable
}

// Available says what is missing on this machine, or to this user, for a Lab; nil if nothing is.
func Available() (err error) {
	l := &Lab{}
	defer func() { err = errors.Join(err, l.Close()) }()
	p, err := l.Place("trial")
	if err != nil {
		return err
	}
	_, err = l.Join(p, p, 0, []Shape{{}}, []Shape{{}})
	if err != nil {
		return err
	}
	return onThread(func() error { return errors.Join(beRealTime(), beOrdinary()) })
}

// Place adds a namespace.
func (l *Lab) Place(name string) (*Place, error) {
	p, err := newPlace(name)
	if err != nil {
		return nil, err
	}
	l.places = append(l.places, p)
	return p, nil
}

// Join lays a cable between two places: the hops of there go from a to b, those of back from b to a. Shapes are as NewLink takes them.
func (l *Lab) Join(a, b *Place, seed uint64, there, back []Shape) (*Cable, error) {
	k := len(l.cables) + 1 // the lab's networks are 10.77.k.0/30
	if k > cablesMax {
		return nil, fmt.Errorf("a lab has at most %d cables", cablesMax)
	}
	c := &Cable{
		A: netip.AddrFrom4([4]byte{10, 77, byte(k), 1}),
		B: netip.AddrFrom4([4]byte{10, 77, byte(k), 2}),
	}
	if err := c.lay(fmt.Sprintf("cable%d", k), a, b, seed, there, back); err != nil {
		return nil, errors.Join(err, c.close())
	}
	l.cables = append(l.cables, c)
	return c, nil
}

// Run carries packets until ctx is done, or a device fails. While it runs, the process may use two processors' worth of goroutines more for
// each cable, so that a flow's goroutine never holds up a carrying thread: the kernel decides, not Go's scheduler.
func (l *Lab) Run(ctx context.Context) error {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2*len(l.cables)))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var carriers sync.WaitGroup
	for _, c := range l.cables {
		for _, d := range []*direction{c.there, c.back} {
			carriers.Go(func() {
				if err := d.carry(ctx); err != nil {
					cancel(err)
				}
			})
		}
	}
	carriers.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// Close removes the devices and gives the namespaces up, after Run has returned.
func (l *Lab) Close() error {
	var errs []error
	for _, c := range l.cables {
		errs = append(errs, c.close())
	}
	for _, p := range l.places {
		errs = append(errs, p.close())
	}
	l.cables, l.places = nil, nil
	return errors.Join(errs...)
}
