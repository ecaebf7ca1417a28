// Package stall bounds how long one side of a request may be silent, in two ways.
//
// On HTTP/1 by deadlines that are set ahead and put off now and then (Renewal): one that passes while nobody reads or writes does no harm. On HTTP/2 and
// whatever multiplexes after it the server resets the stream when a deadline passes, even if the silence is the origin's; so a Watch runs there, only
// during the call.
//
// It promises that Expire isn't called once Leave has returned. A Watch's timer is its only goroutine.
package stall
