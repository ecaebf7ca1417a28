// Package plain reads the header sections of requests that are plain enough for the lane: GET and HEAD whose fields ask for nothing but
// what is stored.
//
// It is a chamber of room edge: Head.Parse takes the bytes of HTTP/1.1, Head.Fill the fields of HTTP/2, and both say no to all that they
// aren't sure to understand as net/http does. Saying no does no harm: somebody else reads it then. What a Head has are views of what it
// was read from, so that nothing is copied or allocated; who uses it answers for it that the bytes don't change meanwhile.
//
// It decides nothing, does no I/O and starts no goroutines. FuzzHead and FuzzLane2 of room edge hold it to net/http.
package plain
