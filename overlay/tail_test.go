package overlay

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/internal/simnet"
	"github.com/wherry/wherry/overlay/wire"
)

// tails is what objects of one size took over a link that loses packets.
type tails struct {
	p50, p99      time.Duration
	bytes, parity uint64 // that both sides sent; with everything
	repaired      uint64
}

// measureTails asks for objects one after the other, over a warm connection of 100 Mbit/s and 100 ms.
func measureTails(t testing.TB, size, n int, loss float64, parity bool) (m tails) {
	link := simnet.Link{Latency: 50 * time.Millisecond, RateBytesPerSecond: 12_500_000, QueueBytes: 1_250_000, MTUBytes: 1500, Loss: loss}
	level := uint64(wire.LevelRepair)
	if !parity {
		level = wire.LevelPaths
	}
	h := newHosts(link)
	a, b := run(t, listen(t, h.alice), options("alice")), run(t, listen(t, h.bob), options("bob"))
	client, server := dial(t, a, b, h.bob)
	server.mu.Lock()
	server.peer.Level = level
	server.mu.Unlock()
	ctx := context.Background()
	go func() {
		for {
			s, err := server.AcceptStream(ctx)
			if err != nil {
				return
			}
			go func() {
				var q [8]byte
				if _, err := io.ReadFull(s, q[:]); err != nil {
					return
				}
				_, _ = s.Write(pattern(int(binary.BigEndian.Uint64(q[:])), q[7]))
				_ = s.CloseWrite()
			}()
		}
	}()
	fetch := func(size int) time.Duration {
		began := time.Now()
		s := must(client.OpenStream(ctx))
		_, _ = s.Write(binary.BigEndian.AppendUint64(nil, uint64(size)))
		_ = s.CloseWrite()
		got, err := io.ReadAll(s)
		if want := pattern(size, byte(size)); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes of %d, %v", len(got), size, err)
		}
		return time.Since(began)
	}
	for range 10 {
		fetch(2 << 20) // the window is open, the loss known
	}
	sum := func() (bytes, parity uint64) {
		s, c := server.Stats(), client.Stats()
		return s.BytesSent + c.BytesSent, s.Parity + c.Parity
	}
	bytes0, parity0 := sum()
	var all []time.Duration
	for range n {
		all = append(all, fetch(size))
		time.Sleep(20 * time.Millisecond)
	}
	slices.Sort(all)
	m.p50, m.p99 = all[n/2], all[n*99/100]
	m.bytes, m.parity = sum()
	m.bytes, m.parity = m.bytes-bytes0, m.parity-parity0
	m.repaired = client.Stats().Repaired
	return m
}

// Parity makes objects that lose packets sooner whole, for less than a twentieth of their bytes.
func TestParityShortensTails(t *testing.T) {
	const n, size = 200, 100 << 10
	for _, loss := range []float64{0.01, 0.05} {
		run := func(parity bool) (m tails) {
			synctest.Test(t, func(t *testing.T) { m = measureTails(t, size, n, loss, parity) })
			return m
		}
		without, with := run(false), run(true)
		for name, m := range map[string]tails{"without": without, "with": with} {
			t.Logf("%v lost, %s parity: p50 %v, p99 %v, %.2f %% more bytes, %d rebuilt", loss, name, m.p50.Round(time.Millisecond), m.p99.Round(time.Millisecond),
				100*float64(m.bytes)/float64(n*size)-100, m.repaired)
		}
		// The hundredth of two hundred is whole round trips, and may be as many by chance.
		if with.p50 >= without.p50 || with.p99 > without.p99+without.p99/50 {
			t.Errorf("%v lost: p50 %v and %v, p99 %v and %v", loss, with.p50, without.p50, with.p99, without.p99)
		}
		if share := float64(with.parity) / (n * size); share > 1.02*(repairShare+repairBack) {
			t.Errorf("parity took %.1f %% of the bytes", 100*share)
		}
	}
}

// Where nothing is lost, nothing is added.
func TestNoParityWithoutLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if m := measureTails(t, 100<<10, 50, 0, true); m.parity != 0 || m.repaired != 0 {
			t.Errorf("%+v", m)
		}
	})
}
