package mesh

import (
	"context"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"time"
)

// When certificates are renewed.
const (
	renewBefore   = 48 * time.Hour // its end
	renewEvery    = 24 * time.Hour // however much the node's clock says is left
	renewGap      = 6 * time.Hour  // between two renewals, if a clock makes each new certificate look old
	renewSpread   = 2 * time.Hour  // so that nodes that joined together don't ask together for ever
	renewTimeout  = time.Minute
	renewRetryMin = 5 * time.Second
	renewRetryMax = 10 * time.Minute
	renewLook     = 10 * time.Minute // clocks are set, and machines sleep: how often to look at the clock
)

// Run renews the certificate when its time comes, until ctx ends. renew asks control, or, on a control node, the authority beside it. A
// failure is repeated, for as long as it takes: control renews certificates that have expired, too.
func (id *Identity) Run(ctx context.Context, log *slog.Logger, renew func(ctx context.Context, csr []byte) (cert, roots []byte, err error)) error {
	retry, spread := renewRetryMin, mathrand.N(renewSpread)
	for {
		wait := id.renewIn(spread)
		tried, err := id.save()
		if !tried && wait <= 0 {
			tried, err = true, id.renew(ctx, renew)
		}
		switch {
		case tried && err == nil:
			log.Info("the node's certificate was renewed", "expires", id.Expires())
			id.warnOfClock(log)
			retry, spread = renewRetryMin, mathrand.N(renewSpread)
			continue
		case tried && ctx.Err() == nil:
			log.Warn("the node's certificate wasn't renewed; trying again", "expires", id.Expires(), "in", retry, "error", err)
			wait, retry = retry+mathrand.N(retry/2), min(2*retry, renewRetryMax)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(wait, renewLook)):
		}
	}
}

// renewIn returns how long the certificate is good enough.
func (id *Identity) renewIn(spread time.Duration) time.Duration {
	c := id.current.Load()
	if c == nil {
		return renewLook // it hasn't joined
	}
	now := id.now()
	return renewIn(c.who.Expires.Sub(now.Round(0)), now.Sub(c.since), c.renewed, spread)
}

// renewIn takes how long a certificate is good by this machine's clock, how long this process has had it, and whether it was renewed by this
// process.
func renewIn(left, had time.Duration, renewed bool, spread time.Duration) time.Duration {
	wait := min(left-renewBefore+spread, renewEvery+spread-had)
	if renewed {
		wait = max(wait, renewGap-had)
	}
	return wait
}

// Renew renews the certificate now, such as when control has given the node other roles.
func (id *Identity) Renew(ctx context.Context, renew func(ctx context.Context, csr []byte) (cert, roots []byte, err error)) error {
	return id.renew(ctx, renew)
}

func (id *Identity) renew(ctx context.Context, ask func(ctx context.Context, csr []byte) (cert, roots []byte, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	csr, err := id.CSR()
	if err != nil {
		return err
	}
	cert, roots, err := ask(ctx, csr)
	if err != nil {
		return fmt.Errorf("ask control: %w", err)
	}
	return id.Install(cert, roots)
}

// warnOfClock tells of a clock that differs from control's by so much that other nodes, or this one, take the new certificate for a bad one.
func (id *Identity) warnOfClock(log *slog.Logger) {
	who, _ := id.Who()
	now, control := id.now(), who.Expires.Add(-nodeLife) // what it said then; who.Issued is what removals are compared with
	if now.Sub(control).Abs() > clockWrongBy-time.Hour {
		log.Error("this machine's clock, or control's, is wrong by a day or more: set it, or nodes can't speak to each other",
			"clock", stamp(now), "control", stamp(control))
	}
}
