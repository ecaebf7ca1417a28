// Package link carries calls between two processes over two rings in memory that both have mapped.
//
//	┌ edge ┐  ring of frames, 1 MiB  ───▶  ┌ monitor ┐
//	│ Link │  ◀───  ring of frames, 1 MiB  │  Link   │      a pipe each way wakes who sleeps for frames, another one who sleeps for room
//
// Either side opens streams: a head and a body each way, and the answer's head. Who was asked has a goroutine for each. A body has Window bytes of credit, given back as they are
// read: who reads slowly holds up only its own stream, for what is received is taken from the ring at once.
//
// Nobody is rung who is awake: bursts of frames cost one wake-up (package ring). Pipes, not an eventfd: its two users share one open file, so that one could have the other's
// writes block; the ends of a pipe are files of their own. A pipe also tells that the other process has gone.
//
// Promises. What comes is checked before it is used: a frame that breaks the rules ends the link, and all its streams, with ErrBroken. The rings are sealed memory, whose size nobody
// can change. Streams, windows and frames are bounded.
//
// Run owns the goroutines, beside those of Handle, one for a stream; it returns when all are gone.
package link
