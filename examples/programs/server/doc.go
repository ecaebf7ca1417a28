// Program server is a guest book: GET / shows what was said, POST / says something, GET /ticks?n=3 sends a line a second.
//
// It is an ordinary net/http server that listens on port 8080, and knows nothing of Wherry. The same binary runs by itself: ./server, and curl localhost:8080.
package main
