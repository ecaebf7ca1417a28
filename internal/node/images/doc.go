// Package images gets the images of programs that a node's configuration names from control, and keeps them on the node's disk.
//
//	DIR/HEX        an image, by its SHA-256
//	DIR/HEX.part   what has come of one
//
// Promises. What has an image's name has been checked against it. A fetch that breaks off goes on where it was, also in the next process; what comes damaged is fetched
// anew. Images that the configuration doesn't name any more stay until there are FormerMax of them, so that going back needs no fetch.
//
// It asks nobody by itself: Options.Get does. It doesn't know what an image is. Have and Keep never wait; Run owns the only goroutine, which fetches one image after the other.
package images
