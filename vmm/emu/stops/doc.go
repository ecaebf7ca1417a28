// Package stops is where a debugger stops programs of the emulator: breakpoints, which are met when code is decoded, and watched ranges of memory.
//
// It only looks up; a Set belongs to the goroutine that runs the machine, and starts none.
package stops
