package congest

import (
	"math"
	"time"
)

const (
	cubicBeta = 0.7 // RFC 9438 §4.6
	cubicC    = 0.4 // RFC 9438 §5.1, packets a second³
	// RFC 9438 §4.3: with it the window of a Reno that backs off by beta has Reno's own mean.
	cubicAlpha = 3 * (1 - cubicBeta) / (1 + cubicBeta)
)

// Cubic grows by a cubic function of the time since the last loss, flat around the window at which that happened (RFC 9438), and leaves
// slow start when the round trips grow (RFC 9406).
type Cubic struct {
	window
	curve   cubicCurve
	hystart hystart
}

var _ Controller = (*Cubic)(nil)

func newCubic(o Options) *Cubic {
	return &Cubic{window: newWindow(o), curve: cubicCurve{steady: true}, hystart: newHystart()}
}

// OnAck grows the window.
func (c *Cubic) OnAck(a Ack) {
	if !c.acked(a) {
		if !c.recovering { // RFC 9438 §5.8: time in which the application was what held back doesn't count
			c.curve.pause()
		}
		return
	}
	bytes := float64(a.Bytes)
	if c.slowStart() {
		bytes = c.slowStartBy(bytes / c.hystart.divisor())
		if c.hystart.onAck(a) {
			c.ssthresh = c.cwnd
		}
	}
	if bytes > 0 && !c.slowStart() {
		c.cwnd += c.curve.grow(a.Now, a.Smoothed, c.cwnd, bytes, float64(c.Packet), 1)
	}
	c.clamp()
}

// OnLoss backs off to 0.7 of the window, once for all that was lost of it.
func (c *Cubic) OnLoss(l Loss) {
	if !c.newLoss(l) {
		return
	}
	c.hystart.done = true
	c.curve.lost(c.cwnd, float64(c.Packet))
	c.ssthresh = max(cubicBeta*c.flight(), float64(minimumPackets*c.Packet))
	c.cwnd = c.ssthresh
}

// OnTimeout begins anew with one packet (RFC 9438 §4.8).
func (c *Cubic) OnTimeout(now time.Time) {
	if !c.backedOff {
		c.curve.lost(c.cwnd, float64(c.Packet))
	}
	c.hystart.done = true
	c.timeout(now, cubicBeta)
}

// OnIdle holds the curve still, and takes the window back as Reno does.
func (c *Cubic) OnIdle(_ time.Time, idle time.Duration) {
	c.curve.pause()
	c.restart(idle)
}

// State is "slow start", "avoidance" or "recovery".
func (c *Cubic) State() string { return c.state() }

// cubicCurve is the function of RFC 9438 §4.2 and the Reno that it isn't slower than (§4.3). Windows are in packets.
type cubicCurve struct {
	wMax   float64   // the window at the last loss, or less by fast convergence
	prior  float64   // the window at the last loss
	epoch  time.Time // zero: none has begun
	k      float64   // seconds from the epoch to wMax
	origin float64
	reno   float64 // W_est
	last   time.Time
	paused bool
	steady bool // the Reno doesn't grow faster beyond the window at the last loss (§4.3 says that it should): Linux's doesn't, beside which ours is to be an equal
}

// lost ends the epoch. Fast convergence (§4.7): a window that didn't come as far as the last time gives up room for those that are new.
func (c *cubicCurve) lost(cwnd, packet float64) {
	w := cwnd / packet
	c.prior = w
	if w < c.wMax {
		c.wMax = w * (1 + cubicBeta) / 2
	} else {
		c.wMax = w
	}
	c.epoch = time.Time{}
}

func (c *cubicCurve) pause() { c.paused = true }

// grow returns how many bytes to add for what was acknowledged; 1 is RFC 9438's haste.
func (c *cubicCurve) grow(now time.Time, rtt time.Duration, cwnd, bytes, packet, haste float64) float64 {
	w := cwnd / packet
	if c.epoch.IsZero() {
		c.epoch, c.reno = now, w
		if w < c.wMax {
			c.k, c.origin = math.Cbrt((c.wMax-w)/(cubicC*haste)), c.wMax
		} else {
			c.k, c.origin = 0, w
		}
	} else if c.paused {
		c.epoch = c.epoch.Add(now.Sub(c.last))
	}
	c.paused, c.last = false, now

	t := now.Sub(c.epoch).Seconds() + rtt.Seconds()
	target := c.origin + cubicC*haste*math.Pow(t-c.k, 3)
	target = min(max(target, w), 1.5*w) // §4.2
	alpha := cubicAlpha
	if c.reno >= c.prior && !c.steady {
		alpha = 1 // §4.3
	}
	acked := bytes / packet
	c.reno += haste * alpha * acked / w
	grown := w + (target-w)/w*acked
	return (max(grown, c.reno) - w) * packet
}
