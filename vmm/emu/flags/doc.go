// Package flags is the arithmetic flags of a processor, computed when somebody asks: most are overwritten before anybody does. An
// instruction leaves its result and the vector of its carries, and all six flags follow from them. It is pure, starts no goroutines, and belongs to whoever
// has the processor.
package flags
