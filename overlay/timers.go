package overlay

import (
	"time"

	"github.com/wherry/wherry/overlay/loss"
	"github.com/wherry/wherry/overlay/seal"
)

// expire does what is due by now.
func (c *Conn) expire(now time.Time) {
	if c.err != nil {
		return
	}
	if c.hs != nil {
		c.hsExpire(now)
	}
	if c.sealer == nil || c.err != nil {
		return
	}
	if now.Sub(c.lastHeard) >= c.endpoint.options.IdleTimeout {
		c.fail(ErrIdle, true)
		return
	}
	for _, p := range c.paths {
		if p != nil {
			c.expirePath(now, p)
		}
	}
	if every := c.endpoint.options.KeepAlive; every > 0 && now.Sub(c.lastSent) >= every {
		c.primary.probes = max(c.primary.probes, 1)
	}
	if c.seals >= seal.PacketsMax && c.confirmed {
		c.changeKey()
	}
}

func (c *Conn) expirePath(now time.Time, p *path) {
	due := p.track.Timer()
	if due.IsZero() || now.Before(due) {
		return
	}
	r, verdict := p.track.Expire(now, p.gone)
	if r.Loss.Bytes > 0 && verdict == loss.Nothing {
		p.controller.OnLoss(r.Loss)
	}
	switch verdict {
	case loss.Probe:
		c.stats.Timeouts++
		p.probes = 2
		c.suspect(now, p)
	case loss.Timeout:
		c.stats.Timeouts++
		p.controller.OnTimeout(now)
		p.probes = 1
		p.pace = now
		if p.track.Timeouts() > 2 {
			p.shrink(now)
		}
		c.suspect(now, p)
	}
	if p.track.InFlight() == 0 {
		p.idleSince = now
	}
}

// due is when pump must look again.
func (c *Conn) due() time.Time {
	if c.err != nil {
		return time.Time{}
	}
	due := c.lastHeard.Add(c.endpoint.options.IdleTimeout)
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(due) {
			due = t
		}
	}
	if c.hs != nil {
		due = c.hs.began.Add(c.endpoint.options.HandshakeTimeout)
		earlier(c.hs.due)
	}
	if c.key() == nil {
		return due
	}
	if c.sealer == nil {
		c.dueToSend(earlier)
		return due
	}
	if every := c.endpoint.options.KeepAlive; every > 0 {
		earlier(c.lastSent.Add(every))
	}
	for _, p := range c.paths {
		if p == nil {
			continue
		}
		earlier(p.track.Timer())
		if p.allowed() >= packetLeast {
			earlier(p.acks.Due)
		}
		if !p.retired {
			earlier(p.challengeDue())
		}
	}
	c.dueToSend(earlier)
	return due
}

// dueToSend says when what is pending may leave.
func (c *Conn) dueToSend(earlier func(time.Time)) {
	for _, p := range c.order() {
		if p != nil && p.open() && c.pendingOn(p) {
			earlier(p.pace)
		}
	}
}

// changeKey goes on with the next generation of keys (RFC 9001 §6).
func (c *Conn) changeKey() {
	next, err := c.sealer.Next()
	if err != nil {
		c.fail(err, true)
		return
	}
	c.sealer, c.sealPhase, c.seals = next, c.sealPhase^1, 0
}
