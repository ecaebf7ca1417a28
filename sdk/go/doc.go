// Package wherry has an http.Handler answer the requests that Wherry gives a program.
//
//	func main() {
//		http.HandleFunc("GET /hello", hello)
//		err := wherry.Serve(nil) // nil when the input ends
//	}
//
// Ask and Transport ask the edge for things while a request is answered.
//
// A response leaves, and the next request comes, by one system call of Wherry's own, wherry_exchange; where it isn't there, by standard output and
// input, so the same file runs on any Linux: ./hello < request.http. A response is kept until the handler returns, and sent in pieces (chunked) when it grows
// beyond 256 KiB or the handler calls Flush. Requests are answered one at a time. It starts no goroutines.
package wherry
