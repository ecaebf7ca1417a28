package origin

import "time"

// What takes an origin out and brings it back.
const (
	// failuresMax is how many requests in a row have to fail before an origin is left alone.
	failuresMax = 3
	// An origin that is out is tried with one request after backoffMin, then after twice as long each time it fails again, at
	// most backoffMax.
	backoffMin = time.Second
	backoffMax = time.Minute
	// checksMax is how many checks in a row have to say the contrary before an origin changes sides.
	checksMax = 2
)

// health is what is known of one origin. Two judges have to agree that it's well: the requests of clients (out) and the
// origin's own checks (down). Its zero value is healthy.
type health struct {
	out      bool          // by requests
	failures int           // in a row
	backoff  time.Duration // the last wait for a trial
	until    time.Time     // no trial before
	trial    bool          // one request is on its way to find out

	down     bool // by checks
	contrary int  // checks in a row that say the contrary of down

	since     time.Time // of healthy
	failedAt  time.Time
	lastError string
}

func (h *health) healthy() bool { return !h.out && !h.down }

// available says whether the next request may go there: it's healthy or due for a trial.
func (h *health) available(now time.Time) bool { return !h.down && (!h.out || h.due(now)) }

func (h *health) due(now time.Time) bool { return h.out && !h.trial && !now.Before(h.until) }

// succeeded learns from a request that got its response.
func (h *health) succeeded() {
	h.out, h.failures, h.backoff, h.trial = false, 0, 0, false
}

// unblemished says whether a success would change nothing.
func (h *health) unblemished() bool { return !h.out && h.failures == 0 && h.backoff == 0 && !h.trial }

// failed learns from a request that the origin failed. trial says that it was the one sent to find out.
func (h *health) failed(now time.Time, trial bool, why string) {
	h.failedAt, h.lastError = now, why
	h.failures++
	switch {
	case trial:
		h.trial = false
	case h.out || h.failures < failuresMax:
		return
	}
	h.out = true
	h.backoff = min(max(2*h.backoff, backoffMin), backoffMax)
	h.until = now.Add(h.backoff)
}

// abandoned learns from a request that told nothing, because its client left or was to blame.
func (h *health) abandoned(trial bool) {
	if trial {
		h.trial = false
	}
}

// checked learns from a check; why is empty if it was answered as it should. A good check also serves as the trial of an origin
// that is due for one, so that it needn't wait for a client.
func (h *health) checked(now time.Time, why string) {
	good := why == ""
	if !good {
		h.failedAt, h.lastError = now, why
	}
	if good && h.due(now) {
		h.succeeded()
	}
	if good != h.down {
		h.contrary = 0
		return
	}
	if h.contrary++; h.contrary >= checksMax {
		h.down, h.contrary = !good, 0
	}
}
