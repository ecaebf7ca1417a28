package route

import (
	"math"
	"time"
)

const (
	smallPackets = 8        // of a small exchange
	bulkBytes    = 16 << 20 // of a large object
	firstWindow  = 14600.0  // bytes; RFC 6928
	assumed      = 6.25e6   // bytes a second that a path is taken to carry until it was full
	hopTime      = 300 * time.Microsecond
)

// Cost is how long an exchange of a class is expected to take over a route.
func Cost(e *Estimate, c Class, rateMax float64) time.Duration {
	if c == Bulk {
		return bulkCost(e, rateMax)
	}
	return smallCost(e)
}

// smallCost is a round trip, what it wavers, and, if one of the packets is lost, another round trip and the time to see it.
func smallCost(e *Estimate) time.Duration {
	loss := min(e.loss(), 0.95)
	some := 1 - math.Pow(1-loss, smallPackets)
	again := float64(e.Smoothed+4*e.Variance) + float64(10*time.Millisecond)
	return e.Smoothed + e.Variance + time.Duration(some*again/(1-loss))
}

// goodput is what a full route is expected to deliver: our controller keeps its rate under loss, and what is lost is sent again.
func goodput(e *Estimate, rateMax float64) float64 {
	capacity := e.Capacity
	if capacity == 0 {
		capacity = max(e.Floor, assumed)
	}
	if rateMax > 0 {
		capacity = min(capacity, rateMax)
	}
	return capacity * max(1-1.5*e.loss(), 0.05)
}

// bulkCost is the time to fill the path, doubling each round trip, and then the object at what it delivers.
func bulkCost(e *Estimate, rateMax float64) time.Duration {
	rate := max(goodput(e, rateMax), 1)
	full := min(rate*e.Smoothed.Seconds(), bulkBytes)
	rounds := 1 + math.Log2(max(full/firstWindow, 1))
	return time.Duration(rounds*float64(e.Smoothed)) + time.Duration(bulkBytes/rate*float64(time.Second))
}

// join is what is expected of two links one after the other.
func join(a, b *Estimate) Estimate {
	e := Estimate{
		State: max(a.State, b.State), Smoothed: a.Smoothed + b.Smoothed + hopTime,
		Variance: time.Duration(math.Hypot(float64(a.Variance), float64(b.Variance))),
		Loss:     1 - (1-a.Loss)*(1-b.Loss), LossFast: 1 - (1-a.LossFast)*(1-b.LossFast), LossNext: 1 - (1-a.loss())*(1-b.loss()),
		Capacity: worse(a.Capacity, b.Capacity), Age: max(a.Age, b.Age), Samples: min(a.Samples, b.Samples),
	}
	if a.State == Unknown || b.State == Unknown {
		e.State = Unknown
		if max(a.State, b.State) >= Suspect {
			e.State = max(a.State, b.State)
		}
	}
	return e
}
