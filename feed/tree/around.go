package tree

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	aroundInterval    = time.Second
	neighbourInterval = 10 * time.Second
	betterInterval    = 30 * time.Second
	betterTries       = 2
	// uprootedTime is after how long without a word of control a parent isn't as good as one that has it.
	uprootedTime  = 5 * time.Second
	uprootedTries = 3
	helloTimeout  = 3 * time.Second
)

// listenAround asks other candidates what they have: so a parent that withholds is found out, one that lost control is left for
// one that has it, and the node comes back to its best place in time.
func (t *Tree) listenAround(ctx context.Context) {
	now := t.o.Now()
	next := schedule{now.Add(jitter(betterInterval)), now.Add(jitter(neighbourInterval)), now.Add(jitter(askEvery(0)))}
	for ctx.Err() == nil {
		wait(ctx, jitter(2*aroundInterval))
		t.mu.Lock()
		f, stuck := t.parent, t.stuck
		if stuck {
			t.claim = claim{} // no other parent would help
		}
		t.mu.Unlock()
		if f == nil || stuck || ctx.Err() != nil {
			continue
		}
		t.checkClaim(ctx, f)
		t.lookAround(ctx, f, &next)
	}
}

// schedule says when to ask whom.
type schedule struct{ better, neighbour, root time.Time }

func (t *Tree) lookAround(ctx context.Context, f *following, next *schedule) {
	now := t.o.Now()
	ready, _ := t.triable()
	var roots, neighbours []Candidate
	for _, c := range ready {
		switch {
		case c.Address == f.candidate.Address:
		case c.Tier == TierRoot:
			roots = append(roots, c)
		default:
			neighbours = append(neighbours, c)
		}
	}
	if contact := t.Contact(); now.Sub(contact) > uprootedTime {
		t.seekControl(ctx, f, roots, neighbours)
		return
	}
	if !now.Before(next.root) {
		next.root = now.Add(jitter(2 * askEvery(t.roster.size())))
		t.askOne(ctx, roots)
	}
	if !now.Before(next.neighbour) {
		next.neighbour = now.Add(jitter(2 * neighbourInterval))
		t.askOne(ctx, neighbours)
	}
	if !now.Before(next.better) {
		next.better = now.Add(betterInterval + jitter(betterInterval))
		t.seekBetter(ctx, f, ready)
	}
}

// askOne asks one of the candidates what it has.
func (t *Tree) askOne(ctx context.Context, among []Candidate) {
	if len(among) == 0 {
		return
	}
	c := among[rand.IntN(len(among))]
	h, err := t.ask(ctx, c)
	if err != nil {
		return
	}
	now, mine := t.o.Now(), t.o.Keeper.Position()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.claim = t.claim.hear(c, h.Position, mine, now)
}

func (t *Tree) ask(ctx context.Context, c Candidate) (h Hello, err error) {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	response, err := get(ctx, t.o.Transport, c.Address, pathHello, nil)
	if err != nil {
		return h, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, refusalMax))
	if err != nil {
		return h, err
	}
	return h, parseHello(text, &h)
}

// checkClaim acts when somebody has had more than the parent for too long. Who said so must prove it: the node follows it, and it is the
// one that is avoided if it doesn't deliver.
func (t *Tree) checkClaim(ctx context.Context, f *following) {
	now, mine := t.o.Now(), t.o.Keeper.Position()
	t.mu.Lock()
	heard, suspect := t.claim, t.suspect
	if !mine.Before(heard.position) {
		if t.suspect = ""; suspect != "" {
			t.standing.ban(suspect, withholdTime, now)
			t.o.Metrics.parents.WithLabelValues("withheld").Inc()
			t.o.Log.Warn("the parent before this one withheld what this one had", "address", suspect, "position", mine)
		}
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	if !heard.overdue(mine, now) {
		return
	}
	if f.candidate.Address == heard.by.Address {
		t.drop(f, errWithheld)
		return
	}
	better, err := t.open(ctx, heard.by)
	switch {
	case err == nil:
		t.o.Log.Info("another node says that it has more", "node", better.stream.Hello.Node, "position", heard.position, "here", mine)
		t.goTo(f, better, f.candidate.Address)
	case heard.by.Tier == TierRoot:
		// It can't take this node, and has no reason to lie: anybody else is better than this parent.
		t.drop(f, errWithheld)
	default:
		t.mu.Lock()
		t.claim = claim{}
		t.mu.Unlock()
	}
}

// drop leaves a parent, and forgets what was claimed.
func (t *Tree) drop(f *following, why error) {
	t.mu.Lock()
	t.claim, t.suspect = claim{}, ""
	t.mu.Unlock()
	f.cancel(why)
}

// goTo lets the follower go on with better instead of f. If suspect is an address, better has a while to show that it was right.
func (t *Tree) goTo(f, better *following, suspect string) {
	now := t.o.Now()
	t.mu.Lock()
	old := t.better
	t.better, t.suspect, t.claim.since = better, suspect, now
	t.mu.Unlock()
	if old != nil {
		old.close()
	}
	f.cancel(errBetter)
}

// seekBetter goes to a candidate that stands before the parent, if one takes this node now.
func (t *Tree) seekBetter(ctx context.Context, f *following, ready []Candidate) {
	tries := 0
	for _, c := range ready {
		if c.Address == f.candidate.Address || tries == betterTries {
			return
		}
		tries++
		better, err := t.open(ctx, c)
		if err != nil {
			t.refusedBy(ctx, attempt{c, nil, err})
			continue
		}
		if !rooted(&better.stream.Hello.Beat) || better.stream.Hello.Position.Before(t.o.Keeper.Position()) {
			better.close()
			continue
		}
		t.goTo(f, better, "")
		return
	}
}

func rooted(b *Beat) bool {
	return !b.Never && time.Duration(b.AwayMS)*time.Millisecond < uprootedTime
}

// seekControl asks a few whether they have control, and goes to the first that does.
func (t *Tree) seekControl(ctx context.Context, f *following, roots, neighbours []Candidate) {
	rand.Shuffle(len(neighbours), func(i, j int) { neighbours[i], neighbours[j] = neighbours[j], neighbours[i] })
	asked := append(roots[:min(len(roots), uprootedTries)], neighbours[:min(len(neighbours), uprootedTries)]...)
	for _, c := range asked {
		better, err := t.open(ctx, c)
		if err != nil {
			t.refusedBy(ctx, attempt{c, nil, err})
			continue
		}
		if rooted(&better.stream.Hello.Beat) {
			t.goTo(f, better, "")
			return
		}
		better.close()
	}
}

// tellRoots sends what is reported to this root to all others.
func (t *Tree) tellRoots(ctx context.Context) {
	telling := map[string]context.CancelFunc{}
	var all sync.WaitGroup
	for ctx.Err() == nil {
		wanted := map[string]bool{}
		for _, c := range t.candidates() {
			if c.Tier == TierRoot && c.Node != t.o.Self {
				wanted[c.Address] = true
			}
		}
		for address, stop := range telling {
			if !wanted[address] {
				stop()
				delete(telling, address)
			}
		}
		for address := range wanted {
			if telling[address] != nil {
				continue
			}
			one, stop := context.WithCancel(ctx)
			telling[address] = stop
			all.Go(func() { t.keepSendingUp(one, address, true) })
		}
		wait(ctx, 2*time.Second)
	}
	for _, stop := range telling {
		stop()
	}
	all.Wait()
}

// keepSendingUp sends reports to the node at address until ctx is done.
func (t *Tree) keepSendingUp(ctx context.Context, address string, toRoot bool) {
	for failures := 0; ctx.Err() == nil; {
		began := t.o.Now()
		err := t.sendUp(ctx, address, toRoot)
		if ctx.Err() != nil {
			return
		}
		if failures++; t.o.Now().Sub(began) > steadyTime {
			failures = 1
		}
		pause := jitter(backoff(failures))
		var r *refusal
		if errors.As(err, &r) && (r.Status == http.StatusLoopDetected || r.Status == http.StatusTooManyRequests) {
			pause = bannedTime // it is this node itself under another address, or doesn't listen
		}
		t.o.Log.Debug("reports can't be sent", "address", address, "err", err)
		wait(ctx, pause)
	}
}
