// Package programs has tests of the example programs, each of which is in a folder of its own.
package programs
