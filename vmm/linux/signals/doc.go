// Package signals has what a kernel keeps of a program's signals that isn't bound to a task: sets, queues of those that wait, and how the processor's state lies
// in a signal's frame. What it reads from a frame is the program's: lengths have bounds. It starts no goroutines.
package signals
