// Command hello greets by Wherry's SDK: GET /?name=Ada.
package main

import (
	"fmt"
	"net/http"
	"os"

	wherry "github.com/wherry/wherry/sdk/go"
)

func main() {
	http.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "hello, %s\n", r.FormValue("name"))
	})
	http.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		n := 0
		var b [4096]byte
		for {
			k, err := r.Body.Read(b[:])
			if n += k; err != nil {
				break
			}
		}
		fmt.Fprintf(wherry.Log, "a body of %d bytes\n", n)
		fmt.Fprintf(w, "%d bytes\n", n)
	})
	if err := wherry.Serve(nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
