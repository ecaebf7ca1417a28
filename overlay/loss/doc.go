// Package loss keeps what is on its way on one path and finds out what became of it.
//
//	          Sent ──▶ ┌───────────────────────────────┐
//	acknowledgement ─▶ │ Tracker: packets by number    │ ──▶ what arrived, what is lost, a congest.Ack with the round trip and
//	      Timer ─────▶ │ on its way | arrived | lost   │      the rate of delivery, and the time of the next timer
//	                   └───────────────────────────────┘
//
// A packet number is used once: what was in a lost packet leaves again in another one. A packet is lost when one that left ReorderingPackets
// later, or 9/8 of a round trip later, has arrived (fast retransmit, RFC 5681 §3.2 and RFC 9002 §6.1); when nothing arrives at all, a probe
// is sent after about a round trip (RFC 8985 §7), and when that isn't answered either, the retransmission timer gives everything up and backs
// off (RFC 6298 §5). An acknowledgement for something that was given up shows that the path reorders, and makes the tracker wait longer.
//
// It is pure: no clock, no goroutine, no lock; the owner of the path calls it. What is lost with the process is what the peer will say by its
// own timers.
package loss
