package ahead

import (
	"compress/gzip"
	"io"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	// ScanBytesMax is how much of a page is looked at, before and after it is unpacked.
	ScanBytesMax = 256 << 10
	// tokenBytesMax bounds one tag with its attributes.
	tokenBytesMax = 64 << 10
	// widthWanted is which of an image's widths is taken: that of most screens.
	widthWanted = 1280
)

// feed is what has been written of a page, for who reads it in another goroutine. Write doesn't wait.
type feed struct {
	mu    sync.Mutex // protects what follows
	more  sync.Cond
	data  []byte
	taken int // bytes in all
	ended bool
}

func newFeed() *feed {
	f := &feed{}
	f.more.L = &f.mu
	return f
}

func (f *feed) write(p []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	p = p[:min(len(p), ScanBytesMax-f.taken)]
	f.data, f.taken = append(f.data, p...), f.taken+len(p)
	f.ended = f.taken == ScanBytesMax
	f.more.Signal()
}

func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.more.Signal()
}

// Read implements io.Reader: it waits for more, up to the end.
func (f *feed) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.data) == 0 && !f.ended {
		f.more.Wait()
	}
	if len(f.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.data)
	f.data = f.data[n:]
	return n, nil
}

// scan reads HTML and tells of each URL that it embeds, as it stands there, and of a base. The coding is that of Content-Encoding, identity or gzip.
func scan(r io.Reader, coding string, base, embed func(ref string)) {
	if coding == "gzip" {
		z, err := gzip.NewReader(r)
		if err != nil {
			return // it isn't what it says
		}
		r = io.LimitReader(z, ScanBytesMax)
	}
	t := html.NewTokenizer(r)
	t.SetMaxBuf(tokenBytesMax)
	hidden := 0 // in elements whose content isn't shown here
	for {
		switch t.Next() {
		case html.ErrorToken:
			return
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := t.TagName()
			tag := atom.Lookup(name)
			switch {
			case tag == atom.Noscript || tag == atom.Template:
				hidden++
			case hidden == 0 && more && wanted(tag):
				tell(tag, attributes(t), base, embed)
			}
		case html.EndTagToken:
			if name, _ := t.TagName(); hidden > 0 {
				if tag := atom.Lookup(name); tag == atom.Noscript || tag == atom.Template {
					hidden--
				}
			}
		}
	}
}

func wanted(tag atom.Atom) bool {
	switch tag {
	case atom.Base, atom.Img, atom.Script, atom.Link, atom.Video, atom.Input:
		return true
	}
	return false
}

func attributes(t *html.Tokenizer) map[string]string {
	all := map[string]string{}
	for more := true; more; {
		var key, value []byte
		key, value, more = t.TagAttr()
		if _, twice := all[string(key)]; !twice { // the first one counts (HTML, "Parse error: duplicate-attribute")
			all[string(key)] = strings.TrimSpace(string(value))
		}
	}
	return all
}

// tell says what a tag embeds.
func tell(tag atom.Atom, a map[string]string, base, embed func(ref string)) {
	switch tag {
	case atom.Base:
		base(a["href"])
	case atom.Script:
		embed(a["src"])
	case atom.Img:
		if !strings.EqualFold(a["loading"], "lazy") {
			embed(image(a["src"], a["srcset"]))
		}
	case atom.Input:
		if strings.EqualFold(a["type"], "image") {
			embed(a["src"])
		}
	case atom.Video:
		embed(a["poster"])
	case atom.Link:
		if embeds(a["rel"]) && !strings.EqualFold(a["media"], "print") {
			ref := a["href"]
			if set := a["imagesrcset"]; set != "" {
				ref = image(ref, set)
			}
			embed(ref)
		}
	}
}

// embeds says whether a link of this kind is fetched with the page.
func embeds(rel string) bool {
	kinds := strings.Fields(strings.ToLower(rel))
	found := false
	for _, kind := range kinds {
		switch kind {
		case "stylesheet", "preload", "modulepreload":
			found = true
		case "alternate": // a style sheet that isn't used
			return false
		}
	}
	return found
}

// image chooses one of an image's sources, since a browser fetches one: src where srcset names others for denser screens; of several widths the widest
// up to widthWanted, or the narrowest.
func image(src, srcset string) string {
	best, bestWidth, ok := src, 0, false
	for srcset != "" {
		var url, descriptor string
		if url, descriptor, srcset, ok = cutCandidate(srcset); !ok {
			break
		}
		switch number, width := strings.CutSuffix(descriptor, "w"); {
		case width:
			w, err := strconv.Atoi(number)
			if err == nil && w > 0 && (bestWidth == 0 || w <= widthWanted && (w > bestWidth || bestWidth > widthWanted) || bestWidth > widthWanted && w < bestWidth) {
				best, bestWidth = url, w
			}
		case best == "" && (descriptor == "" || descriptor == "1x"):
			best = url
		}
	}
	return best
}

// cutCandidate takes the first one off a srcset (HTML, "Parsing a srcset attribute").
func cutCandidate(set string) (url, descriptor, rest string, ok bool) {
	set = strings.TrimLeft(set, ", \t\n\f\r")
	i := strings.IndexAny(set, " \t\n\f\r")
	if i < 0 {
		i = len(set)
	}
	url, rest = set[:i], set[i:]
	if alone := strings.TrimRight(url, ","); alone != url {
		return alone, "", rest, alone != ""
	}
	descriptor, rest, _ = strings.Cut(rest, ",")
	return url, strings.TrimSpace(descriptor), rest, url != ""
}

// linkHeader tells of what a Link field (RFC 8288 §3) has preloaded.
func linkHeader(value string, embed func(ref string)) {
	for value != "" {
		_, after, found := strings.Cut(value, "<")
		ref, after, closed := strings.Cut(after, ">")
		if !found || !closed {
			return
		}
		var params string
		params, value = cutParams(after)
		for param := range strings.SplitSeq(params, ";") {
			name, v, _ := strings.Cut(strings.TrimSpace(param), "=")
			if strings.EqualFold(strings.TrimSpace(name), "rel") && embeds(strings.Trim(strings.TrimSpace(v), `"`)) {
				embed(ref)
				break
			}
		}
	}
}

// cutParams cuts at the comma before the next link; one in quotes is none.
func cutParams(s string) (params, rest string) {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '\\' && quoted: // the next one is taken as it is; of a quote that only ends the quotation too early
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}
