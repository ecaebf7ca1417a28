// Package programs is the part of the configuration's model that is about programs: what stands below `programs` in the file.
//
// Room config reads its types and comments as it reads its own. It says how images, variables and secrets are written, does no I/O, decides nothing, and has no goroutines.
package programs
