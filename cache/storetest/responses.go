package storetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/wherry/wherry/cache/store"
)

// Began is when the first version of each response was received. It is some time ago, so that a store that looks at the clock finds all of
// them received, and fresh.
var Began = time.Now().Add(-time.Minute).Truncate(time.Second)

// Head returns the head of a response in version n, which is fresh for an hour, for requests whose field X is variant; "" means for all. It
// is written here by what cache says of the format, so that a change of that shows.
func Head(variant string, n int) []byte {
	text := func(p []byte, s string) []byte { return append(binary.AppendUvarint(p, uint64(len(s))), s...) }
	number := binary.AppendUvarint
	p := []byte{2, 1}
	p = number(p, http.StatusOK)
	p = number(p, uint64(Began.Add(time.Duration(n)*time.Millisecond).UnixNano()))
	p = number(number(number(p, 0), 0), 0)
	p = number(number(p, 0), uint64(time.Hour))
	p = number(text(p, "max-age"), 0)
	fields := [][2]string{{"Cache-Control", "max-age=3600"}, {"Date", Began.UTC().Format(http.TimeFormat)}, {"Version", strconv.Itoa(n)}}
	if variant == "" {
		p = number(p, 0)
	} else {
		p = text(text(text(number(p, 1), "X"), variant), variant)
		fields = append([][2]string{fields[0], fields[1], {"Vary", "X"}}, fields[2])
	}
	p = number(p, uint64(len(fields)))
	for _, f := range fields {
		p = text(number(text(p, f[0]), 1), f[1])
	}
	return number(p, 0)
}

// Response returns a response like that under key, without a body.
func Response(t testing.TB, key store.Key, variant string, n int) *store.Response {
	t.Helper()
	r, err := store.ParseResponse(key, Head(variant, n), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Content is the content of version n of a response: size bytes that tell whose they are.
func Content(key store.Key, variant string, n, size int) string {
	line := fmt.Sprintf("%s|%s|%d\n", key, variant, n)
	return strings.Repeat(line, size/len(line)+1)[:max(size, len(line))]
}

// Insert stores version n of a response and returns it.
func Insert(t testing.TB, s store.Store, key store.Key, variant string, n, size int) *store.Response {
	t.Helper()
	r := Response(t, key, variant, n)
	content := Content(key, variant, n, size)
	body := s.NewBody(int64(len(content)))
	if m, err := body.Append([]byte(content)); err != nil {
		body.Discard()
		t.Logf("no room for %d bytes: %d, %v", size, m, err)
		return nil
	}
	r = r.With(body)
	s.Insert(r)
	return r
}

// Renewed returns old as a 304 would make it: version n of the head, over the same body.
func Renewed(t testing.TB, old *store.Response, n int) *store.Response {
	t.Helper()
	r := Response(t, old.Key, variantOf(old), n)
	r.Copy = old.Copy
	return r.With(old.Body)
}

// variantOf finds out which variant r is.
func variantOf(r *store.Response) string {
	for _, variant := range variants {
		probe, err := store.ParseResponse(r.Key, Head(variant, 0), time.Now())
		if err == nil && probe.Variant() == r.Variant() {
			return variant
		}
	}
	return "unknown"
}

var variants = []string{"", "a", "b"}

// Found is what a look-up has found of one response.
type Found struct {
	Variant     string
	Version     int // of the head
	BodyVersion int
	Body        string
	Unreadable  error  // why the body couldn't be read whole
	Wrong       string // what is wrong with it
}

// Read reads r, which was looked up under key.
func Read(key store.Key, r *store.Response) Found {
	f := Found{Variant: variantOf(r)}
	f.Version, _ = strconv.Atoi(r.Header.Get("Version"))
	var w bytes.Buffer
	n, err := r.Body.WriteRange(&w, 0, r.Body.Len())
	if f.Body = w.String(); err != nil || n != r.Body.Len() {
		f.Unreadable = fmt.Errorf("%d of %d bytes: %w", n, r.Body.Len(), err)
	}
	first, _, _ := strings.Cut(f.Body, "\n")
	parts := strings.Split(first, "|")
	switch {
	case r.Key != key:
		f.Wrong = fmt.Sprintf("key %q under %q", r.Key, key)
	case f.Unreadable != nil:
	case len(parts) != 3 || parts[0] != string(key) || parts[1] != f.Variant:
		f.Wrong = fmt.Sprintf("the body of %q under %q|%q", first, key, f.Variant)
	default:
		f.BodyVersion, _ = strconv.Atoi(parts[2])
		if f.Body != Content(key, f.Variant, f.BodyVersion, len(f.Body)) {
			f.Wrong = fmt.Sprintf("a torn body of %q", first)
		}
	}
	return f
}
