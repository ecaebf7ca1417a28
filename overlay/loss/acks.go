package loss

import "time"

// Acks says when the packets of one path are to be acknowledged. The zero value has none.
type Acks struct {
	Waiting int       // packets that want an acknowledgement
	Due     time.Time // when they get one; zero: none wants, or Now says it
	Now     bool
	last    time.Time // when the last one left
}

// AcksMax is how many packets wait at most.
const AcksMax = 32

// Want notes that a packet wants an acknowledgement. RFC 5681 §4.2: every second packet, and at once where there is a gap; but where they come fast,
// not more often than a sender needs to keep its pace, which is apart. One alone waits for delayMax.
func (a *Acks) Want(now time.Time, inOrder bool, apart, delayMax time.Duration) {
	a.Waiting++
	switch {
	case !inOrder || a.Waiting >= AcksMax || a.Waiting >= 2 && now.Sub(a.last) >= apart:
		a.Now = true
	case a.Waiting == 2:
		a.Due = a.last.Add(apart)
	case a.Due.IsZero():
		a.Due = now.Add(delayMax)
	}
}

// Ready says whether one is to leave now.
func (a *Acks) Ready(now time.Time) bool {
	return a.Now || !a.Due.IsZero() && !now.Before(a.Due)
}

// Left says that one leaves.
func (a *Acks) Left(now time.Time) { *a = Acks{last: now} }
