// Package seal has the keys of packets (Key), derived from TLS's secrets, and the sessions that peers may resume (Tickets).
//
// A Key seals and opens in place, and has no state: who uses it never seals two packets with one number. Tickets are good once, bounded, and lost with the
// process. It runs no goroutines.
package seal
