package ahead

import (
	"bytes"
	"compress/gzip"
	"slices"
	"strings"
	"testing"
)

func found(t testing.TB, page, coding string) (refs []string) {
	t.Helper()
	scan(strings.NewReader(page), coding, func(ref string) { refs = append(refs, "base "+ref) }, func(ref string) {
		if ref != "" {
			refs = append(refs, ref)
		}
	})
	return refs
}

// What a browser fetches with a page is found in it, and nothing else.
func TestScan(t *testing.T) {
	page := `<!doctype html><head><base href="/shop/"><link rel=stylesheet href=a.css><link rel="alternate stylesheet" href=no.css>
<link rel="preload" as=font href="f.woff2"><link rel=canonical href=no><link rel=stylesheet media=print href=no.css><LINK REL="modulepreload" HREF="m.js">
<script src="s.js?a=1&amp;b=2"></script><script>document.write('<img src=no.png>')</script><style>img{background:url(no.png)}</style></head>
<body><!-- <img src=no.png> --><img src='1.png' src=no.png><img src=2.png loading=lazy><noscript><img src=no.png></noscript><template><img src=no.png></template>
<img src=small.png srcset="big.png 2x"><img srcset="w1.png 320w, w2.png 1024w, w3.png 2560w"><img src=x srcset="w4.png 2560w,w5.png 4000w">
<input type=image src=i.png><input type=text src=no.png><video poster=p.jpg src=no.mp4></video><a href=no>no</a><iframe src=no></iframe><img src=last.png>`
	want := []string{
		"base /shop/", "a.css", "f.woff2", "m.js", "s.js?a=1&b=2", "1.png", "small.png", "w2.png", "w4.png", "i.png", "p.jpg", "last.png",
	}
	if got := found(t, page, ""); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write([]byte(page))
	_ = z.Close()
	if got := found(t, packed.String(), "gzip"); !slices.Equal(got, want) {
		t.Errorf("in gzip found %q", got)
	}
	if got := found(t, page, "gzip"); got != nil {
		t.Errorf("in what isn't gzip found %q", got)
	}
}

func TestLinkHeader(t *testing.T) {
	for value, want := range map[string][]string{
		`</a.css>; rel=preload; as=style, </b.js>; as=script; rel="preload"`: {"/a.css", "/b.js"},
		`</a,b>; title="x, <no>; rel=preload"; rel=preload, </c>; rel=next`:  {"/a,b"},
		`</a>`:              nil,
		`<`:                 nil,
		`</a>; rel="a\"b`:   nil,
		`</m>; REL=Preload`: {"/m"},
	} {
		var got []string
		linkHeader(value, func(ref string) { got = append(got, ref) })
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
}

// A page is looked at while it comes, up to the limit, and writing never waits.
func TestFeed(t *testing.T) {
	f := newFeed()
	piece := bytes.Repeat([]byte("x"), 100_000)
	for range 10 {
		f.write(piece)
	}
	var all bytes.Buffer
	if n, err := all.ReadFrom(f); n != ScanBytesMax || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte(`<img srcset="a 1x, b 2x" src=c><link rel=stylesheet href=x>`), `</a>; rel=preload`)
	f.Add([]byte(`<base href=//[::1><script src="`), `<a>;rel="\"`)
	f.Add([]byte("<template></template><noscript><img srcset=',,a,, 3w'"), `,,<>;;=`)
	f.Fuzz(func(t *testing.T, page []byte, link string) {
		n := 0
		scan(bytes.NewReader(page), "", func(string) {}, func(ref string) { n++ })
		scan(bytes.NewReader(page), "gzip", func(string) {}, func(ref string) {})
		if n > len(page) {
			t.Errorf("%d objects in %d bytes", n, len(page))
		}
		linkHeader(link, func(ref string) { n++ })
	})
}
