// Pages serves files below /www, and says what was in /etc/greeting when it started.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	greeting, err := os.ReadFile("/etc/greeting")
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/", http.FileServer(http.Dir("/www")))
	http.HandleFunc("/greeting", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(greeting) })
	http.HandleFunc("/arguments", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, os.Args) })
	http.HandleFunc("/write", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, os.WriteFile(r.URL.Query().Get("name"), []byte("x"), 0o644))
	})
	log.Fatal(http.ListenAndServe(":8080", nil))
}
