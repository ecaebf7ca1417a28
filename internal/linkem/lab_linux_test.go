package linkem_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wherry/wherry/internal/linkem"
)

// startLab lays one cable between two places and carries packets until the test ends.
func startLab(t *testing.T, s linkem.Shape) (a, b *linkem.Place, c *linkem.Cable) {
	t.Helper()
	if err := linkem.Available(); err != nil {
		t.Skip("no link can be emulated here: ", err)
	}
	goleak.VerifyNone(t)
	lab := &linkem.Lab{}
	a, err := lab.Place("a")
	if err != nil {
		t.Fatal(err)
	}
	if b, err = lab.Place("b"); err != nil {
		t.Fatal(err)
	}
	if c, err = lab.Join(a, b, 1, []linkem.Shape{s}, []linkem.Shape{s}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- lab.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t)
	})
	return a, b, c
}

func TestTCPCrossesABadLinkWhole(t *testing.T) {
	a, b, c := startLab(t, linkem.Shape{
		RateBits: 50 * mbit, Delay: 5 * ms, QueueBytes: 64 << 10,
		Loss: linkem.BurstLoss(0.01, 3), Reorder: 0.01, Duplicate: 0.01, Corrupt: 0.01,
	})
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	l, err := b.Listen(ctx, netip.AddrPortFrom(c.B, 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want := make([]byte, 1<<20)
	for i := range want {
		want[i] = byte(rand.IntN(256))
	}
	got := make(chan []byte, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			got <- nil
			return
		}
		defer conn.Close()
		read, _ := io.ReadAll(conn)
		got <- read
	}()
	start := time.Now()
	conn, err := a.Dial(ctx, netip.MustParseAddrPort(l.Addr().String()), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if rtt := time.Since(start); rtt < 10*ms {
		t.Errorf("connected in %v; two ways of 5 ms take 10", rtt)
	}
	if _, err := conn.Write(want); err != nil {
		t.Fatal(err)
	}
	conn.(interface{ CloseWrite() error }).CloseWrite()
	if read := <-got; !bytes.Equal(read, want) {
		t.Errorf("sent %x, %d bytes arrived: %x", sha256.Sum256(want), len(read), sha256.Sum256(read))
	}
	there, back := c.Stats()
	if h := there.Hops[0]; h.Delivered < 700 || h.Lost == 0 || h.Corrupted == 0 || h.Reordered == 0 || h.Duplicated == 0 || back.Hops[0].Delivered == 0 {
		t.Errorf("the link has seen %+v", h)
	}
	if n, err := c.Missed(); n != 0 || err != nil {
		t.Errorf("the emulator missed %d packets, %v", n, err)
	}
	if c.CPU() <= 0 {
		t.Error("carrying took no time")
	}
}

func TestACableThatIsCutAndMended(t *testing.T) {
	good := linkem.Shape{Delay: ms}
	dead := linkem.Shape{Delay: ms, Loss: linkem.RandomLoss(1)}
	a, b, c := startLab(t, good)
	from, err := a.ListenUDP(netip.AddrPortFrom(c.A, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := b.ListenUDP(netip.AddrPortFrom(c.B, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	target := netip.MustParseAddrPort(to.LocalAddr().String())
	for _, word := range []string{"before", "while", "after"} {
		shape := good
		if word == "while" {
			shape = dead
		}
		if err := c.Reshape([]linkem.Shape{shape}, []linkem.Shape{shape}); err != nil {
			t.Fatal(err)
		}
		if _, err := from.WriteToUDPAddrPort([]byte(word), target); err != nil {
			t.Fatal(err)
		}
		// The link has judged the packet before the next one is sent.
		for sent := int64(0); sent == 0; {
			there, _ := c.Stats()
			h := there.Hops[0]
			sent = map[string]int64{"before": h.Delivered, "while": h.Lost, "after": h.Delivered - 1}[word]
			time.Sleep(ms)
		}
	}
	buf := make([]byte, 100)
	for _, want := range []string{"before", "after"} {
		to.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := to.Read(buf); string(buf[:n]) != want {
			t.Errorf("%q arrived (%v), want %q", buf[:n], err, want)
		}
	}
}

func TestAShapeThatCantBeLeavesNothing(t *testing.T) {
	startLab(t, linkem.Shape{}) // skips where there can be none
	lab := &linkem.Lab{}
	defer lab.Close()
	a, err := lab.Place("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Join(a, a, 1, []linkem.Shape{{RateBits: 1}}, []linkem.Shape{{}}); err == nil {
		t.Fatal("a line without a queue was laid")
	}
	if _, err := lab.Join(a, a, 1, nil, nil); err == nil {
		t.Fatal("a cable without hops was laid")
	}
}
