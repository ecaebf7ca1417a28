// Package exchangetest is a pair of sessions in memory, for tests and measurements of what runs over sessions.
//
// A stream's direction holds WindowBytes; who writes more waits for the reader. Sessions can be killed, and refuse streams above
// their limit until others are closed. Nothing here starts goroutines; deadlines are timers, so all works in testing/synctest.
package exchangetest
