package portal

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"time"
)

// The portal of a network with control: one page, whose modules ask the API and nothing else.

//go:embed desk
var deskFiles embed.FS

// deskKinds are the files of the desk that browsers get, by their ends.
var deskKinds = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8", // RFC 9239
}

// desk is the portal's page with its modules. These import each other by name, so they lie in a folder together whose name changes with
// the content of any of them: browsers may keep each for ever, and never mix those of two versions.
type desk struct {
	folder string
	files  map[string]asset
	page   []byte
}

func loadDesk(a assets, version string) desk {
	d := desk{files: map[string]asset{}}
	entries, err := fs.ReadDir(deskFiles, "desk")
	if err != nil {
		panic("BUG: portal: " + err.Error())
	}
	sum := sha256.New()
	for _, e := range entries { // sorted by name
		content, err := fs.ReadFile(deskFiles, "desk/"+e.Name())
		if err != nil {
			panic("BUG: portal: " + err.Error())
		}
		sum.Write(content)
		if kind, ok := deskKinds[path.Ext(e.Name())]; ok {
			d.files[e.Name()] = asset{kind, content}
		}
	}
	d.folder = hex.EncodeToString(sum.Sum(nil)[:6])
	page := template.Must(template.New("index.html").Funcs(template.FuncMap{
		"asset": a.path, "desk": func(name string) string { return "/assets/" + d.folder + "/" + name },
	}).ParseFS(deskFiles, "desk/index.html"))
	var out bytes.Buffer
	if err := page.Execute(&out, version); err != nil {
		panic("BUG: portal: " + err.Error())
	}
	d.page = out.Bytes()
	return d
}

// deskPolicy is stricter than that of the status page: what its modules make of answers goes into the document as text, and nothing may
// parse it as HTML (https://w3c.github.io/trusted-types/).
const deskPolicy = pagePolicy + "; require-trusted-types-for 'script'; trusted-types 'none'"

func (p *Portal) getDesk(w http.ResponseWriter, _ *http.Request) *problem {
	h := w.Header()
	h.Set("Content-Security-Policy", deskPolicy)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/html; charset=utf-8")
	w.Write(p.desk.page) // an error means that the client left
	return nil
}

func (p *Portal) getDeskFile(w http.ResponseWriter, r *http.Request) *problem {
	f, ok := p.desk.files[r.PathValue("name")]
	if !ok || r.PathValue("folder") != p.desk.folder {
		return newProblem(http.StatusNotFound, "This file belongs to another version of the portal.", "Load the page again.")
	}
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
	return nil
}
