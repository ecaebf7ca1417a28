// Package wherry has an http.Handler answer the requests that Wherry gives a program.
//
//	func main() {
//		http.HandleFunc("GET /hello", hello)
//		if err := wherry.Serve(http.DefaultServeMux); err != nil {
//			fmt.Fprintln(os.Stderr, err)
//			os.Exit(1)
//		}
//	}
//
// Requests and responses are HTTP/1.1 messages. A response leaves, and the next request comes, by one system call of Wherry's own, wherry_exchange
// (docs/decisions/0060-sdk.md); where it isn't there, by standard output and input, so the same file runs on any Linux: ./hello < request.http.
//
// A response is kept until the handler returns, and sent in pieces (chunked) when it grows beyond 256 KiB or the handler calls Flush. Requests are answered one at a
// time. What a handler began and leaves running goes on when the next request comes, if the program isn't taken back to its snapshot before.
//
// It starts no goroutines and depends on nothing but the standard library.
package wherry
