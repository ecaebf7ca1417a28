// Package programs is where example programs are, each in a folder of its own, with tests that build them, deploy them in a compute.Host and ask them.
//
// It promises nothing: it is nobody's library, and has no code but tests. It starts no goroutines; those of a test's host end with the test.
package programs
