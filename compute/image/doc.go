// Package image keeps the images of programs on a node, by the SHA-256 of their bytes.
//
//	STATE/programs/HEX   one image: 64 lower-case hexadecimal digits
//
// Promises. A name has the bytes that it is the hash of, or Get says that it hasn't: each reading is checked. Put writes to a temporary name and renames, so that a crash
// leaves no half of an image under its name. Files are the owner's alone. An image has at most SizeMax bytes.
//
// It doesn't know what an image is, nor which programs use it, and removes none. It has no goroutines; a Store is safe for use by many, in many processes.
package image
