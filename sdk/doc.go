// Package sdk has the tests of what programs are written with: sdk/go for Go, sdk/c/wherry.h for C, sdk/rust for Rust, and examples/programs/hello, which
// is the same program in all three. To answer takes at most 300 lines of each, to ask the edge at most 150 more (ask.go, wherry_ask.h, ask.rs); each depends on nothing but its language's standard library.
//
// They promise: one exit of the machine for each request, however its log; the same answers on a Linux that isn't Wherry's.
package sdk
