package main

import (
	"io"
	"net/http"
	"net/url"
	"strings"

	wherry "github.com/wherry/wherry/sdk/go"
)

func main() {
	wherry.Serve(http.HandlerFunc(count))
}

func count(w http.ResponseWriter, r *http.Request) {
	name := strings.Trim(r.URL.Path, "/")
	at := "http://kv/visits:" + url.PathEscape(name)
	method := http.MethodGet
	switch {
	case name == "":
		http.Error(w, "name what is counted: POST /front-page", http.StatusNotFound)
		return
	case r.Method == http.MethodPost:
		method, at = http.MethodPost, at+"?add=1"
	}
	ask, err := http.NewRequest(method, at, http.NoBody)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, err := wherry.Ask(ask)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case answer.StatusCode == http.StatusNotFound:
		_, _ = io.WriteString(w, "0\n") // into memory, as what follows
	case answer.StatusCode >= http.StatusBadRequest:
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.Copy(w, answer.Body)
	default:
		_, _ = io.Copy(w, answer.Body)
		_, _ = io.WriteString(w, "\n")
	}
}
