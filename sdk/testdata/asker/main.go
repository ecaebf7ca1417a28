// Command asker asks for its target's text and adds what came; POST asks with its body.
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"

	wherry "github.com/wherry/wherry/sdk/go"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for range 2 {
			q, err := http.NewRequest(r.Method, "http://edge"+r.URL.Path, bytes.NewReader(body))
			if err != nil {
				log.Fatal(err)
			}
			q.Header.Set("X-From", "go")
			a, err := wherry.Ask(q)
			if err != nil {
				fmt.Fprintln(w, err)
				continue
			}
			text, err := io.ReadAll(a.Body)
			switch {
			case err != nil:
				fmt.Fprintln(w, err)
			case len(text) > 100:
				fmt.Fprintf(w, "%d %d bytes\n", a.StatusCode, len(text))
			default:
				fmt.Fprintf(w, "%d %s\n", a.StatusCode, text)
			}
		}
	})
	if err := wherry.Serve(nil); err != nil {
		log.Fatal(err)
	}
}
