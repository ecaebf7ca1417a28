package congest

import "time"

// A Controller is told of everything that happens to the packets of one path and says how many bytes may be in flight and how fast
// they may leave. All sizes are bytes of UDP payload.
type Controller interface {
	// OnSent is told of each packet as it leaves. inFlight counts it already.
	OnSent(now time.Time, bytes, inFlight int)

	// OnAck is told once of each acknowledgement that acknowledged something new, after OnLoss for what the same acknowledgement
	// showed to be lost.
	OnAck(Ack)

	// OnLoss is told of packets that were found lost by what was acknowledged after them (fast retransmit).
	OnLoss(Loss)

	// OnTimeout is told that the retransmission timer ran out (RFC 6298 §5): everything in flight counts as lost.
	OnTimeout(now time.Time)

	// OnIdle is told before the first packet after a time in which nothing was in flight.
	OnIdle(now time.Time, idle time.Duration)

	// SetPacket says how large a full packet is from now on: the path takes larger ones than at first, or doesn't any more.
	SetPacket(bytes int)

	// Window is how many bytes may be in flight.
	Window() int

	// Rate is how many bytes a second may leave; 0 says that the window alone decides.
	Rate() float64

	// State is the controller's own word for what it is doing, for people: "slow start", "recovery", "probe down".
	State() string
}

// Ack is what one acknowledgement says.
type Ack struct {
	Now      time.Time
	Bytes    int           // newly acknowledged
	Sent     time.Time     // when the newest of them left
	Largest  uint64        // the newest packet number acknowledged so far
	Next     uint64        // the number that the next packet will have: a round ends when an Ack's Largest reaches what Next was at its start
	RTT      time.Duration // of the newest of them; 0 if this acknowledgement can't tell
	Smoothed time.Duration // RFC 6298
	Min      time.Duration // the shortest of this path in the last seconds
	Prior    int           // in flight before this acknowledgement
	InFlight int           // and after it, without what is lost
	Lost     int           // bytes found lost by it
	Sample   Sample
}

// Sample is a measurement of the rate of delivery (draft-cheng-iccrg-delivery-rate-estimation).
type Sample struct {
	Delivered  uint64        // bytes of the path acknowledged in all, until now
	Prior      uint64        // and when the packet left that this sample is made from
	Interval   time.Duration // the longer of what it took to send and to acknowledge them; 0: no sample
	TxInFlight int           // in flight when that packet left, itself included
	Lost       uint64        // bytes lost between that packet's leaving and now
	AppLimited bool          // the sender had nothing more to send: the rate may be too low
}

// Rate is in bytes a second; 0 if there is no sample.
func (s Sample) Rate() float64 {
	if s.Interval <= 0 {
		return 0
	}
	return float64(s.Delivered-s.Prior) / s.Interval.Seconds()
}

// Loss is what was found lost at once.
type Loss struct {
	Now        time.Time
	Bytes      int
	Largest    uint64    // the newest packet that is lost
	Sent       time.Time // when that left
	Next       uint64    // as in Ack
	InFlight   int       // without what is lost
	TxInFlight int       // in flight when the newest lost packet left
	Smoothed   time.Duration
	Latest     time.Duration // the last round trip that was measured: how full the queue was
	Min        time.Duration
}

// Options are what all controllers share.
type Options struct {
	Packet  int // bytes of a full packet
	Initial int // the first window; 0: ten packets (RFC 6928), or 24 where it is paced
	Max     int // the widest window; 0: 64 MiB
}

// SetPacket is Controller's, for all that hold Options.
func (o *Options) SetPacket(bytes int) { o.Packet = bytes }

// Kind names a controller.
type Kind string

// The controllers.
const (
	KindDefault Kind = "default"
	KindReno    Kind = "reno"
	KindCubic   Kind = "cubic"
	KindBBR     Kind = "bbr"
)
