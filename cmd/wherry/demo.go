package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

//go:embed demo
var demoFiles embed.FS

const (
	demoBigBytes   = 4 << 20
	demoBodyBytes  = 64 << 10
	demoSlow       = 2 * time.Second
	demoChunks     = 8 // of /stream
	demoChunkPause = 500 * time.Millisecond
)

// demo is a small site that shows what a cache does: each path is one lesson, and the page at / lists them.
type demo struct {
	began time.Time
	files map[string]demoFile
	big   []byte
	asked map[string]*atomic.Int64 // requests that came to the origin, by path
}

type demoFile struct {
	kind, cacheControl, etag string
	content                  []byte
}

// newDemoOrigin returns the origin of `wherry dev` when nobody names another.
func newDemoOrigin() http.Handler {
	d := &demo{began: time.Now(), files: loadDemoFiles(), big: demoBig(), asked: map[string]*atomic.Int64{}}
	mux := http.NewServeMux()
	for path, lesson := range map[string]http.HandlerFunc{
		"/":         d.getFile,
		"/clock":    d.getClock,
		"/news":     d.getNews,
		"/language": d.getLanguage,
		"/private":  d.getPrivate,
		"/slow":     d.getSlow,
		"/big":      d.getBig,
		"/stream":   d.getStream,
		"/error":    d.getError,
	} {
		d.asked[path] = new(atomic.Int64)
		mux.HandleFunc("GET "+path, lesson)
	}
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		mux.HandleFunc(method+" /echo", d.echo)
	}
	return mux
}

func loadDemoFiles() map[string]demoFile {
	loaded := map[string]demoFile{}
	for name, f := range map[string]demoFile{
		"index.html": {kind: "text/html; charset=utf-8", cacheControl: "public, max-age=60, stale-while-revalidate=600"},
		"style.css":  {kind: "text/css; charset=utf-8", cacheControl: "public, max-age=300"},
		"app.js":     {kind: "text/javascript; charset=utf-8", cacheControl: "public, max-age=300"},
		"logo.svg":   {kind: "image/svg+xml", cacheControl: "public, max-age=86400"},
		"river.jpg":  {kind: "image/jpeg", cacheControl: "public, max-age=86400"},
	} {
		content, err := fs.ReadFile(demoFiles, "demo/"+name)
		if err != nil {
			panic("BUG: demo: " + err.Error())
		}
		f.content, f.etag = content, demoETag(content)
		loaded["/"+name] = f
	}
	loaded["/"] = loaded["/index.html"]
	return loaded
}

// demoETag returns a strong entity tag (RFC 9110 §8.8.3).
func demoETag(content []byte) string {
	sum := sha256.Sum256(content)
	return `"` + hex.EncodeToString(sum[:6]) + `"`
}

// demoBig returns lines of 32 bytes that begin with their number, so that a range can be checked by eye.
func demoBig() []byte {
	big := make([]byte, 0, demoBigBytes)
	for line := 0; len(big) < demoBigBytes; line++ {
		number := strconv.Itoa(line)
		big = append(big, "line "...)
		big = append(big, "000000"[len(number):]...)
		big = append(big, number...)
		big = append(big, " of a large file ...\n"...)
	}
	return big
}

func (d *demo) getFile(w http.ResponseWriter, r *http.Request) {
	f, ok := d.files[r.URL.Path]
	if !ok {
		demoText(w, "public, max-age=10")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, "The demo has nothing at %s. Its lessons are listed at /.\n", r.URL.Path)
		return
	}
	d.serve(w, r, f)
}

// serve answers conditional requests and ranges too.
func (d *demo) serve(w http.ResponseWriter, r *http.Request, f demoFile) {
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("Cache-Control", f.cacheControl)
	w.Header().Set("ETag", f.etag)
	http.ServeContent(w, r, "", d.began, bytes.NewReader(f.content))
}

func (d *demo) getClock(w http.ResponseWriter, _ *http.Request) {
	demoText(w, "public, max-age=5")
	fmt.Fprintf(w, "It was %s at the origin.\n", time.Now().Format(time.TimeOnly))
}

func (d *demo) getNews(w http.ResponseWriter, _ *http.Request) {
	demoText(w, "public, max-age=5, stale-while-revalidate=30") // RFC 5861 §3
	fmt.Fprintf(w, "Edition %d, printed at %s.\n", d.asked["/news"].Add(1), time.Now().Format(time.TimeOnly))
}

func (d *demo) getLanguage(w http.ResponseWriter, r *http.Request) {
	greetings := map[string]string{"en": "Good day.", "ja": "こんにちは。", "pt": "Bom dia."}
	language := demoLanguage(r.Header.Get("Accept-Language"), greetings)
	demoText(w, "public, max-age=60")
	w.Header().Set("Vary", "Accept-Language")
	w.Header().Set("Content-Language", language)
	fmt.Fprintf(w, "%s (%s; there are %s)\n", greetings[language], language, strings.Join(slices.Sorted(maps.Keys(greetings)), ", "))
}

// demoLanguage returns the language that accept wants most among those there are (RFC 9110 §12.5.4), else English.
func demoLanguage(accept string, there map[string]string) string {
	best, bestWeight := "en", 0.0
	for one := range strings.SplitSeq(accept, ",") {
		tag, parameter, _ := strings.Cut(strings.TrimSpace(one), ";")
		primary, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		weight := 1.0
		if q, ok := strings.CutPrefix(strings.TrimSpace(parameter), "q="); ok {
			weight, _ = strconv.ParseFloat(q, 64) // what isn't a number weighs nothing
		}
		if _, ok := there[primary]; ok && weight > bestWeight {
			best, bestWeight = primary, weight
		}
	}
	return best
}

func (d *demo) getPrivate(w http.ResponseWriter, _ *http.Request) {
	demoText(w, "no-store")
	fmt.Fprintf(w, "For you alone. This is request %d for it that came to the origin.\n", d.asked["/private"].Add(1))
}

func (d *demo) getSlow(w http.ResponseWriter, r *http.Request) {
	asked := d.asked["/slow"].Add(1)
	if !demoPause(r, demoSlow) {
		return
	}
	demoText(w, "public, max-age=10")
	fmt.Fprintf(w, "The origin took %v over this. It was asked %d times so far.\n", demoSlow, asked)
}

func (d *demo) getBig(w http.ResponseWriter, r *http.Request) {
	d.serve(w, r, demoFile{"text/plain; charset=utf-8", "public, max-age=3600", `"big-1"`, d.big})
}

func (d *demo) getStream(w http.ResponseWriter, r *http.Request) {
	demoText(w, "public, max-age=5")
	flusher := http.NewResponseController(w)
	for i := range demoChunks {
		if i > 0 && !demoPause(r, demoChunkPause) {
			// What came so far must not pass for the whole (RFC 9112 §8).
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "piece %d of %d at %s\n", i+1, demoChunks, time.Now().Format("15:04:05.0"))
		if flusher.Flush() != nil {
			return
		}
	}
}

func (d *demo) getError(w http.ResponseWriter, _ *http.Request) {
	demoText(w, "no-store")
	w.WriteHeader(http.StatusInternalServerError)
	io.WriteString(w, "The origin failed, on purpose.\n")
}

// echo writes the request as it arrived here.
func (d *demo) echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, demoBodyBytes))
	demoText(w, "no-store")
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		fmt.Fprintf(w, "The echo stops at %d bytes.\n", demoBodyBytes)
		return
	}
	fmt.Fprintf(w, "%s %s %s\nHost: %s\n", r.Method, r.URL.RequestURI(), r.Proto, r.Host)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		for _, value := range r.Header[name] {
			fmt.Fprintf(w, "%s: %s\n", name, value)
		}
	}
	fmt.Fprintf(w, "\n%s", body)
}

// demoText declares plain text, which no browser takes for anything else: echo repeats what strangers send.
func demoText(w http.ResponseWriter, cacheControl string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", cacheControl)
}

// demoPause waits and says whether the client is still there.
func demoPause(r *http.Request, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}
