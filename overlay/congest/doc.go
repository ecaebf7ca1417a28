// Package congest decides how much may be on its way: congestion controllers behind one pure interface.
//
//	events in                                    what may be sent, out
//	OnSent, OnAck, OnLoss, OnTimeout  ──▶ Controller ──▶ Window (bytes in flight), Rate (bytes a second)
//
// Reno is the lecture's and RFC 5681's, Cubic is RFC 9438, BBR is draft-ietf-ccwg-bbr, and Default is what links between our nodes use.
// One Controller belongs to one path of one connection, and to its lock; it has no clock, no timer and no goroutine: `now` comes with each event.
//
// It promises the same decisions for the same events. It doesn't find losses or measure round trips: overlay/loss does, and says so here.
package congest
