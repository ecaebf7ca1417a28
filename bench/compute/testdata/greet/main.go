// Program greet answers every request with a greeting, as an ordinary server at the address of its first argument, or at port 8080.
package main

import (
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	at := ":8080"
	if len(os.Args) > 1 {
		at = os.Args[1]
	}
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "Hello from the edge.\n") // into the connection
	})
	if len(os.Args) > 1 {
		log.Print("ready")
	}
	log.Fatal(http.ListenAndServe(at, nil))
}
