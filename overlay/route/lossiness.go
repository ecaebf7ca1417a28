package route

import (
	"math"
	"time"
)

// The losses that a route may have, and how often one has them that nobody has asked yet. Between two levels is a factor of two to four: few packets can
// tell nearer ones apart.
var (
	lossLevels = [...]float64{0.0005, 0.002, 0.006, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6}
	lossUsual  = [len(lossLevels)]float64{0.5, 0.32, 0.12, 0.025, 0.013, 0.009, 0.006, 0.004, 0.003}
)

const (
	lossFades = 4 * time.Minute // after which a loss that was noticed is probably over
	lossComes = time.Hour       // after which one begins, if there was none
	lossLow   = 3               // levels that are no trouble
	lossDoubt = 1e-9            // how likely each level is at least
	lossBatch = 32.0            // packets that a batch says as much as at most: they are lost together
)

// logArrives and logLost are the logarithms of how likely a packet arrives, or is lost, at each level.
var logArrives, logLost = func() (arrives, lost [len(lossLevels)]float64) {
	for i, loss := range lossLevels {
		arrives[i], lost[i] = math.Log(1-loss), math.Log(loss)
	}
	return arrives, lost
}()

// lossiness is how likely a route has each of the levels of loss (a hidden Markov model's filter). A window of packets, or of time, has to be long for
// small losses and short for large ones; one probe of sixty that is lost says little, and of a hundred packets that arrive ten were to be lost if it still lost
// a tenth. The zero value is what is usual.
type lossiness struct {
	likely [len(lossLevels)]float64
	at     time.Time
}

// fade lets what was known grow old.
func (l *lossiness) fade(now time.Time) {
	if l.at.IsZero() {
		l.likely, l.at = lossUsual, now
		return
	}
	passed := max(now.Sub(l.at), 0)
	low, high := math.Exp(-float64(passed)/float64(lossComes)), math.Exp(-float64(passed)/float64(lossFades))
	moved := 0.0
	for i := range l.likely {
		keep := low
		if i >= lossLow {
			keep = high
		}
		moved += (1 - keep) * l.likely[i]
		l.likely[i] *= keep
	}
	for i := range l.likely {
		l.likely[i] += moved * lossUsual[i]
	}
	l.at = now
}

// saw takes what became of packets.
func (l *lossiness) saw(now time.Time, arrived, lost float64) {
	l.fade(now)
	if n := arrived + lost; n > lossBatch {
		arrived, lost = arrived*lossBatch/n, lost*lossBatch/n
	}
	var logs [len(lossLevels)]float64
	most := math.Inf(-1)
	for i := range logs {
		logs[i] = arrived*logArrives[i] + lost*logLost[i]
		most = max(most, logs[i])
	}
	sum := 0.0
	for i := range logs {
		l.likely[i] *= math.Exp(logs[i] - most)
		sum += l.likely[i]
	}
	for i := range l.likely {
		l.likely[i] = max(l.likely[i]/sum, lossDoubt)
	}
}

// expected is the part of the next packets that will be lost.
func (l *lossiness) expected(now time.Time) float64 {
	aged := *l
	aged.fade(now)
	sum := 0.0
	for i, p := range aged.likely {
		sum += p * lossLevels[i]
	}
	return sum
}
