// Package turn says how long a task of a Linux program runs before the others of the program have theirs.
//
// A slice is the bound while others are ready. A task that is alone runs on, to when the first that sleeps is to wake, as an interruption for nobody costs
// as much as some system calls. It decides by values alone, and starts no goroutines; a Turns belongs to the goroutine that runs the program.
package turn
