package congest

import "fmt"

const (
	initialPackets = 10       // RFC 6928 §2
	initialPaced   = 24       // where they leave one by one and not in a burst: one and a quarter round trips less until the link is full
	minimumPackets = 2        // RFC 5681 §3.1, of ssthresh
	defaultMax     = 64 << 20 // bytes
)

// New makes a controller for one path.
func New(kind Kind, o Options) (Controller, error) {
	if o.Packet <= 0 {
		return nil, fmt.Errorf("a packet of %d bytes: set Options.Packet to what a full packet of the path takes", o.Packet)
	}
	if o.Initial == 0 {
		o.Initial = initialPackets * o.Packet
		if kind == KindDefault {
			o.Initial = initialPaced * o.Packet
		}
	}
	if o.Max == 0 {
		o.Max = defaultMax
	}
	if o.Initial < o.Packet || o.Max < o.Initial {
		return nil, fmt.Errorf("a first window of %d bytes and a widest of %d for packets of %d: set Packet <= Initial <= Max", o.Initial, o.Max, o.Packet)
	}
	switch kind {
	case KindDefault:
		return newDefault(o), nil
	case KindReno:
		return newReno(o), nil
	case KindCubic:
		return newCubic(o), nil
	case KindBBR:
		return newBBR(o), nil
	}
	return nil, fmt.Errorf("no controller %q: use %s, %s, %s or %s", kind, KindDefault, KindReno, KindCubic, KindBBR)
}
