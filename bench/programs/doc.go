// Command programs measures what programs cost in Wherry's machines, beside native processes and wazero, in one run on one machine.
//
//	go -C bench/programs run . [-quick] [-json] [-only call,start,cpu,idle]
//
// It is a module of its own, for wazero's sake. It builds bin/wherry, examples/programs and testdata, asks `wherry program bench` and
// `wherry program run` for their figures, and prints a table of the bars with a verdict each. All times are CPU time of the threads
// or processes that did the work, the kernel's part included: other work on the machine makes them larger, but not much.
//
//	call    one request to a Go and a C function with the whole machine reset after it; natively; in wazero, kept and fresh
//	start   a new instance from a snapshot
//	cpu     work that needs nothing but the processor: CPU time in the machine / natively
//	idle    instances that wait, and the memory of the host that each needs
package main
