package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"strings"
	"testing"
)

func figure() Figure {
	return Figure{Title: "A <title> & more", Panels: []Panel{
		{Title: "Window", X: "seconds", Y: "KiB", Lines: []Line{
			{"tcp-cubic", []float64{0, 1, 2, 3}, []float64{0, 50, 25, 80}},
			{"quic", []float64{0, 1, 2, 3}, []float64{0, 10, 20, 30}},
		}},
		{Title: "Fairness", X: "flows", Y: "Mbit/s", Bars: []Bar{{"tcp-cubic", 5.4}, {"quic", 88.6}, {"quic", 50}}},
		{Title: "Nothing", X: "seconds", Y: "none"},
	}}
}

func TestSVGIsXMLWithItsWords(t *testing.T) {
	var b bytes.Buffer
	if err := figure().SVG(&b); err != nil {
		t.Fatal(err)
	}
	var words []string
	polylines := 0
	for d := xml.NewDecoder(bytes.NewReader(b.Bytes())); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.CharData:
			words = append(words, string(token))
		case xml.StartElement:
			if token.Name.Local == "polyline" {
				polylines++
			}
		}
	}
	all := strings.Join(words, "\n")
	for _, want := range []string{"A <title> & more", "Window, KiB", "tcp-cubic", "80", "seconds"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q isn't in the picture", want)
		}
	}
	if polylines != 2 {
		t.Errorf("%d lines, want 2", polylines)
	}
}

func TestPNGShowsTheLinesAndBars(t *testing.T) {
	var b bytes.Buffer
	f := figure()
	if err := f.PNG(&b); err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(&b)
	if err != nil {
		t.Fatal(err)
	}
	if want := image.Pt(dots*figureWidth, dots*f.height()); picture.Bounds().Size() != want {
		t.Errorf("%v pixels, want %v", picture.Bounds().Size(), want)
	}
	var counts [2]int
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			c := picture.At(x, y)
			for i := range counts {
				if c == color.Color(palette[i]) {
					counts[i]++
				}
			}
		}
	}
	if counts[0] < 2000 || counts[1] < 2000 {
		t.Errorf("%v pixels have the colours of the lines and bars", counts)
	}
}

func TestWhatCantBeDrawn(t *testing.T) {
	for name, f := range map[string]Figure{
		"no panel": {},
		"uneven":   {Panels: []Panel{{Lines: []Line{{"a", []float64{1}, nil}}}}},
	} {
		if err := f.SVG(io.Discard); err == nil {
			t.Errorf("%s: drawn as SVG", name)
		}
		if err := f.PNG(io.Discard); err == nil {
			t.Errorf("%s: drawn as PNG", name)
		}
	}
}

func TestNiceStep(t *testing.T) {
	for reach, want := range map[float64]float64{100: 20, 96: 20, 10: 2, 1: 0.2, 7: 2, 3600: 1000} {
		if got := niceStep(reach); math.Abs(got-want) > 1e-9*want {
			t.Errorf("up to %v: steps of %v, want %v", reach, got, want)
		}
	}
}
