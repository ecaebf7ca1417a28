package portal

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
)

// parsePage reads the templates: `page` with `body` inside, which the script exchanges, and `problem`.
func (p *Portal) parsePage() *template.Template {
	source, err := fs.ReadFile(files, "page/page.html")
	if err != nil {
		panic("BUG: portal: " + err.Error())
	}
	return template.Must(template.New("").Funcs(template.FuncMap{
		"asset": p.assets.path, "count": countText, "bytes": bytesText, "percent": percentText,
	}).Parse(string(source)))
}

func (p *Portal) getPage(w http.ResponseWriter, r *http.Request) *problem {
	w.Header().Set("Cache-Control", "no-store")
	return p.render(w, "page", newView(p.status(r.Context()), p.now()))
}

func (p *Portal) renderProblem(w http.ResponseWriter, trouble *problem) {
	var out bytes.Buffer
	if err := p.page.ExecuteTemplate(&out, "problem", trouble); err != nil {
		panic("BUG: portal: " + err.Error())
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(trouble.Status)
	w.Write(out.Bytes()) // an error means that the client left
}

// render writes a whole template or none of it.
func (p *Portal) render(w http.ResponseWriter, name string, v view) *problem {
	var out bytes.Buffer
	if err := p.page.ExecuteTemplate(&out, name, v); err != nil {
		return newProblem(http.StatusInternalServerError, fmt.Sprintf("The page can't be made: render %s: %v.", name, err), "That is a bug of Wherry: tell its authors.")
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(out.Bytes()) // an error means that the client left
	return nil
}
