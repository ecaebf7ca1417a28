package overlay

import (
	"bytes"
	"context"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/internal/simnet"
	"github.com/wherry/wherry/overlay/wire"
)

// twoPaths are alice and bob with a direct path and one through carol, and their connection.
type twoPaths struct {
	*hosts
	a, b, c        *Endpoint
	client, server *Conn
	helper         *Conn
	label          wire.ID
	path           int
}

func newTwoPaths(t testing.TB, direct, detour simnet.Link) *twoPaths {
	t.Helper()
	p := &twoPaths{hosts: newHosts(direct)}
	half := detour
	half.Latency /= 2
	p.net.SetLink(p.alice, p.carol, half)
	p.net.SetLink(p.carol, p.bob, half)
	oc := options("carol")
	oc.Forward = func(string, string) (netip.AddrPort, error) { return at(p.bob), nil }
	p.a, p.b = run(t, listen(t, p.alice), options("alice")), run(t, listen(t, p.bob), options("bob"))
	p.c = run(t, listen(t, p.carol), oc)
	p.client, p.server = dial(t, p.a, p.b, p.bob)
	p.helper, _ = dial(t, p.a, p.c, p.carol)
	p.label = must(p.helper.OpenRoute(context.Background(), "bob"))
	p.path = must(p.client.AddPath(context.Background(), at(p.carol), p.label))
	return p
}

// download sends n bytes from the server to the client, and returns how many arrived a second.
func (p *twoPaths) download(t *testing.T, n int, during func(got int)) float64 {
	t.Helper()
	began := time.Now()
	want := pattern(n, 9)
	s := must(p.server.OpenStream(context.Background()))
	go func() {
		_, _ = s.Write(want)
		_ = s.CloseWrite()
	}()
	r := must(p.client.AcceptStream(context.Background()))
	got := make([]byte, 0, n)
	buffer := make([]byte, 64<<10)
	for {
		k, err := r.Read(buffer)
		got = append(got, buffer[:k]...)
		if during != nil {
			during(len(got))
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got, want) {
		t.Fatal("other bytes came than were sent")
	}
	return float64(n) / time.Since(began).Seconds()
}

const fifty = 6_250_000 // bytes a second: 50 Mbit/s

// A large answer over two paths of 50 Mbit/s each comes with more than 80.
func TestBulkOverTwoPaths(t *testing.T) {
	for name, later := range map[string]time.Duration{"alike": 0, "one is 40 ms longer": 20 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				link := simnet.Link{Latency: 30 * time.Millisecond, RateBytesPerSecond: fifty, QueueBytes: fifty / 16}
				detour := link
				detour.Latency += later
				p := newTwoPaths(t, link, detour)
				p.client.UseForBulk(map[int]float64{p.path: 0})
				rate := p.download(t, 100<<20, nil)
				if t.Logf("%.1f Mbit/s", rate*8/1e6); rate*8 < 80e6 {
					t.Errorf("%.1f Mbit/s over two paths of 50", rate*8/1e6)
				}
			})
		})
	}
}

// A path for bulk that dies loses and doubles nothing, and the rest goes on by the other one.
func TestBulkOutlivesOneOfItsPaths(t *testing.T) {
	for _, dies := range []string{"direct", "detour"} {
		t.Run(dies, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				link := simnet.Link{Latency: 30 * time.Millisecond, RateBytesPerSecond: fifty, QueueBytes: fifty / 16}
				p := newTwoPaths(t, link, link)
				p.client.UseForBulk(map[int]float64{p.path: 0})
				const n = 40 << 20
				last, longest, cut := time.Now(), time.Duration(0), false
				p.download(t, n, func(got int) {
					if cut {
						longest = max(longest, time.Since(last))
					}
					if last = time.Now(); !cut && got > n/3 {
						cut = true
						if dies == "direct" {
							p.net.Cut(p.alice, p.bob)
						} else {
							p.net.Cut(p.carol, p.bob)
						}
					}
				})
				if t.Logf("longest silence %v", longest); longest > time.Second {
					t.Errorf("nothing came for %v", longest)
				}
			})
		})
	}
}

// Small streams keep to the best path, and a rate that is set isn't exceeded.
func TestOnlyLargeStreamsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		link := simnet.Link{Latency: 30 * time.Millisecond, RateBytesPerSecond: fifty, QueueBytes: fifty / 16}
		p := newTwoPaths(t, link, link)
		p.client.UseForBulk(map[int]float64{p.path: 1e6})
		sent := func() uint64 { return p.server.Paths()[p.path].Delivered }
		time.Sleep(time.Second)
		before := sent()
		for range 20 {
			p.download(t, 100_000, nil)
		}
		if n := sent() - before; n > 20_000 {
			t.Errorf("%d bytes of small streams went by the detour", n)
		}
		before, began := sent(), time.Now()
		p.download(t, 30<<20, nil)
		rate := float64(sent()-before) / time.Since(began).Seconds()
		if t.Logf("%.0f bytes a second by the detour", rate); rate < 0.7e6 || rate > 1.1e6 {
			t.Errorf("%.0f bytes a second went by the detour, a million is allowed", rate)
		}
	})
}

// Paths are opened and dropped as often as one likes: their numbers come back, and what is sent meanwhile arrives.
func TestPathsAreOpenedAgainAndAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		link := simnet.Link{Latency: 10 * time.Millisecond, Loss: 0.02, RateBytesPerSecond: fifty, QueueBytes: fifty / 16}
		p := newTwoPaths(t, link, link)
		ctx := context.Background()
		done := make(chan float64)
		go func() { done <- p.download(t, 60<<20, nil) }()
		for range 40 {
			p.client.UseForBulk(map[int]float64{p.path: 0})
			if err := p.client.UsePath(p.path); err != nil {
				t.Fatal(err)
			}
			time.Sleep(300 * time.Millisecond)
			if err := p.client.UsePath(0); err != nil {
				t.Fatal(err)
			}
			p.client.DropPath(p.path)
			time.Sleep(200 * time.Millisecond)
			id, err := p.client.AddPath(ctx, at(p.carol), p.label)
			if err != nil {
				t.Fatal(err)
			}
			p.path = id
		}
		<-done
		for _, c := range []*Conn{p.client, p.server} {
			if n := len(c.Paths()); n != 2 || c.Err() != nil {
				t.Errorf("%d paths, %v", n, c.Err())
			}
		}
	})
}

// The answers come by the path that who asks has chosen.
func TestThePeerFollowsToAnotherPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		link := simnet.Link{Latency: 30 * time.Millisecond}
		p := newTwoPaths(t, link, link)
		if err := p.client.UsePath(p.path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		before := p.server.Paths()[0].Delivered
		p.download(t, 3<<20, nil)
		if n := p.server.Paths()[0].Delivered - before; n > 100_000 {
			t.Errorf("%d bytes came by the path that was left", n)
		}
	})
}
