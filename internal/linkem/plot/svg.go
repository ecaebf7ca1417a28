package plot

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"image/color"
	"io"
)

// SVG writes the figure as a document of its own.
func (f Figure) SVG(w io.Writer) error {
	if err := f.check(); err != nil {
		return err
	}
	v := &vector{}
	fmt.Fprintf(v, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="sans-serif" font-size="12">`,
		figureWidth, f.height())
	fmt.Fprint(v, "\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n")
	f.draw(v)
	fmt.Fprint(v, "</svg>\n")
	_, err := w.Write(v.Bytes())
	return err
}

type vector struct{ bytes.Buffer }

func hex(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }

func (v *vector) line(x1, y1, x2, y2, width float64, c color.RGBA) {
	fmt.Fprintf(v, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"%g\"/>\n", x1, y1, x2, y2, hex(c), width)
}

func (v *vector) polyline(points []point, width float64, c color.RGBA) {
	fmt.Fprintf(v, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%g\" stroke-linejoin=\"round\" points=\"", hex(c), width)
	for i, p := range points {
		if i > 0 {
			v.WriteByte(' ')
		}
		fmt.Fprintf(v, "%.1f,%.1f", p.x, p.y)
	}
	v.WriteString("\"/>\n")
}

func (v *vector) rect(x, y, w, h float64, c color.RGBA) {
	fmt.Fprintf(v, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", x, y, w, h, hex(c))
}

func (v *vector) text(x, y, align float64, s string, c color.RGBA) {
	anchor := map[float64]string{0: "start", 0.5: "middle", 1: "end"}[align]
	fmt.Fprintf(v, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" fill=\"%s\">", x, y, anchor, hex(c))
	_ = xml.EscapeText(v, []byte(s)) // a buffer takes everything
	v.WriteString("</text>\n")
}
