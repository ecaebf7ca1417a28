package portal

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed page
var files embed.FS

// asset is a file of the page under a name that changes with its content, so that browsers may keep it for ever (RFC 8246).
type asset struct {
	kind    string
	content []byte
}

// assets are the files by NAME.HASH.EXT, and those names by NAME.EXT.
type assets struct {
	files map[string]asset
	names map[string]string
}

func loadAssets() assets {
	a := assets{files: map[string]asset{}, names: map[string]string{}}
	for name, kind := range map[string]string{
		"portal.css": "text/css; charset=utf-8",
		"portal.js":  "text/javascript; charset=utf-8", // RFC 9239
		"icon.svg":   "image/svg+xml",
	} {
		content, err := fs.ReadFile(files, "page/"+name)
		if err != nil {
			panic("BUG: portal: " + err.Error())
		}
		sum := sha256.Sum256(content)
		ext := path.Ext(name)
		hashed := strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:6]) + ext
		a.files[hashed], a.names[name] = asset{kind, content}, hashed
	}
	return a
}

// path returns where the page finds a file.
func (a assets) path(name string) (string, error) {
	hashed, ok := a.names[name]
	if !ok {
		return "", fmt.Errorf("no asset called %s", name)
	}
	return "/assets/" + hashed, nil
}

func (p *Portal) getAsset(w http.ResponseWriter, r *http.Request) *problem {
	f, ok := p.assets.files[r.PathValue("name")]
	if !ok {
		return newProblem(http.StatusNotFound, "This file belongs to another version of the portal.", "Load the page again.")
	}
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.content))
	return nil
}
