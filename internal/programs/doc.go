// Package programs runs the programs of a configuration on this node: it is between config, which says what they are, and compute, which runs them.
//
//	Prepare: snapshot ─▶ images (files, or STATE/programs/HEX), secrets (files) ─▶ Prepare of a compute.Host, or of an apart.Host, in a process of its own ─▶ Change: Commit or Drop
//	Upstream: an http.RoundTripper for the rules that name a program
//
// Promises. Programs change all at once or not at all: one that can't be used is refused with the place in the configuration where its image is named, and those before
// answer on. What a secret's file has is given to the program alone: no error, log or status has it. A fault that a program is to blame for has a sentence for the client that names the limit. What programs write to standard error goes to the log, at most
// linesASecond lines of each program, and all of it to a ring of LinesMax lines.
//
// Run owns the goroutines, which are compute's or compute/apart's.
package programs
