// Program resize makes pictures smaller: POST a PNG or JPEG to /?width=320, get one of that width in the same format.
//
//	wherry dev --program ./resize
//
// It is an ordinary server that listens on port 8080, and runs without Wherry as well.
package main
