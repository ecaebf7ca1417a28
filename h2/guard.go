package h2

import "time"

// guard bounds what a client makes us do for nothing: resets of requests just sent (CVE-2023-44487), empty frames (CVE-2019-9518),
// pings and settings (CVE-2019-9512, -9515), windows opened by a byte (CVE-2019-9511). Each costs something, and what comes
// with real use earns it back. Who has nothing left is disconnected with ENHANCE_YOUR_CALM.
type guard struct {
	left     int
	refilled time.Time
}

const (
	guardMax       = 1000 // at the beginning, and at most
	guardPerSecond = 50

	costFrame = 1 // a frame without use: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, an unknown one, an empty DATA or CONTINUATION
	costReset = 5 // a request that the client takes back
	costError = 5 // a request that is malformed
	earnData  = 2 // a DATA frame that we sent: it may be answered with two WINDOW_UPDATE
	earnHead  = 2 // a request
)

// spend returns false when nothing is left.
func (g *guard) spend(cost int) bool {
	g.left -= cost
	return g.left >= 0
}

func (g *guard) earn(n int) { g.left = min(g.left+n, guardMax) }

// refill is called now and then.
func (g *guard) refill(now time.Time) {
	if g.refilled.IsZero() {
		g.left, g.refilled = guardMax, now
		return
	}
	if n := int(now.Sub(g.refilled) * guardPerSecond / time.Second); n > 0 {
		g.earn(n)
		g.refilled = now
	}
}
