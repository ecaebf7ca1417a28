// Package tsc reads the processor's time-stamp counter, which guests of KVM read, too. Steady says whether this host's kernel keeps its own time by it: then
// it runs at one rate and is the same on all processors. Where it isn't, or on other processors than x86-64, Read is 0. It starts no goroutines.
package tsc
