// Package iovec is bytes on their way between a guest's vectors and the things that it reads and writes: how many one call moves, and a queue of them.
//
// A Queue has no limit of its own: whoever pushes looks first how much there may be. Nothing here knows errors, descriptors or time; nothing is shared, and
// there are no goroutines.
package iovec
