package main

import (
	"bytes"
	"html/template"
	"log"
	"net/http"
	"strings"
)

// words are the page's, by language; the first is for users who read none of them.
var words = []struct{ Language, Hello, Count string }{
	{"en", "Hello", "Ships in port"},
	{"de", "Hallo", "Schiffe im Hafen"},
	{"pt", "Olá", "Navios no porto"},
}

var ships = []struct {
	Name string
	Tons int
}{{"Amity", 410}, {"Blackfriars", 85}, {"Carola", 1200}}

// template.HTML isn't used: what users send is escaped.
var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="{{.Words.Language}}"><meta charset="utf-8"><title>{{.Words.Hello}}</title>
<h1>{{.Words.Hello}}, {{.Name}}!</h1>
<p>{{.Words.Count}}: {{len .Ships}}</p>
<ul>{{range .Ships}}<li>{{.Name}}, {{.Tons}} t</li>{{end}}</ul>
</html>
`))

func main() {
	http.HandleFunc("GET /", render)
	log.Fatal(http.ListenAndServe(":8080", nil))
}

func render(w http.ResponseWriter, r *http.Request) {
	name := r.FormValue("name")
	if name == "" {
		name = "sailor"
	}
	of := words[0]
	for _, w := range words {
		if strings.HasPrefix(r.Header.Get("Accept-Language"), w.Language) {
			of = w
		}
	}
	var b bytes.Buffer
	if err := page.Execute(&b, map[string]any{"Words": of, "Name": name, "Ships": ships}); err != nil {
		http.Error(w, "the page can't be made", http.StatusInternalServerError)
		log.Print(err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "max-age=60")
	w.Header().Set("Vary", "Accept-Language")
	_, _ = w.Write(b.Bytes()) // into the connection
}
