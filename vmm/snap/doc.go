// Package snap keeps programs as they are when they wait for their first input, and starts any number of them from there.
//
//	program ──Boot──▶ Process wants input ──Take──▶ Snapshot ──Start──▶ Instance ──Call──▶ answer ──Reset──▶ as at Start
//	                                                   │  ▲
//	                                             WriteTo  Read: a file
//
// A Snapshot is an image of each slot of the machine's memory, and the state of the personality (linux.State). Its images are in memory once for all
// instances, which see them copy-on-write. It can start in another process and on another machine, if that has the same back end and its processor the features
// that the program saw.
//
// An Instance answers one call after another. Reset takes it back to the snapshot: pages that were written are copied back from the image and stay
// writable, for the next call writes the same ones; registers, tasks, timers and descriptors are set as they were. After a reset nothing in the
// instance depends on the calls before it, but for how fast it is.
//
// A program that listens may be one, too (BootServer): who runs it dials its port (file.Table.Dial) instead of Call.
//
// Files are foreign bytes: Read checks the version, every length and a checksum over all.
//
// A Snapshot may be used by many goroutines, an Instance by one at a time. It starts no goroutines.
package snap
