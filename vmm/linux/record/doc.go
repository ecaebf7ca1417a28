// Package record writes numbers and lists as bytes, little-endian, lists behind their length (4 bytes), and reads them. What is read may be anybody's: a list
// takes no more memory than its bytes that are there, and than its bound. Whether the numbers make sense is the caller's to look at. It starts no goroutines.
package record
