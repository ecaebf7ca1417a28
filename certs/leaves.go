package certs

import (
	"container/list"
	"crypto/tls"
	"time"
)

// leaves keeps issued certificates by name, the least recently used of them only until there are too many.
type leaves struct {
	max    int // 0: as many as are put, because there are only so many names
	byName map[string]*list.Element
	recent *list.List // of leaf, the most recent first
}

type leaf struct {
	name        string
	certificate *tls.Certificate
}

func newLeaves(limit int) *leaves {
	return &leaves{max: limit, byName: map[string]*list.Element{}, recent: list.New()}
}

func (l *leaves) get(name string) *tls.Certificate {
	e := l.byName[name]
	if e == nil {
		return nil
	}
	l.recent.MoveToFront(e)
	return e.Value.(leaf).certificate
}

func (l *leaves) put(name string, c *tls.Certificate) {
	if e := l.byName[name]; e != nil {
		l.recent.Remove(e)
	}
	l.byName[name] = l.recent.PushFront(leaf{name, c})
	if l.max > 0 && l.recent.Len() > l.max {
		l.remove(l.recent.Back())
	}
}

// keep removes the leaves for which it is false.
func (l *leaves) keep(it func(name string) bool) {
	for name, e := range l.byName {
		if !it(name) {
			l.remove(e)
		}
	}
}

func (l *leaves) remove(e *list.Element) {
	delete(l.byName, e.Value.(leaf).name)
	l.recent.Remove(e)
}

// allowance is how often something may be done: burst times at once, perSecond in the long run.
type allowance struct {
	perSecond, burst float64
	spent            float64
	at               time.Time // of spent
}

// take uses the allowance once, if there is any left.
func (a *allowance) take(now time.Time) bool {
	if since := now.Sub(a.at).Seconds(); since > 0 {
		a.spent, a.at = max(a.spent-since*a.perSecond, 0), now
	}
	if a.spent+1 > a.burst {
		return false
	}
	a.spent++
	return true
}
