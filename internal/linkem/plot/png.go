package plot

import (
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"math"
)

// dots is how many pixels stand for one dot of the SVG, each way.
const dots = 2

// PNG writes the figure as an image of twice the SVG's dots.
func (f Figure) PNG(w io.Writer) error {
	if err := f.check(); err != nil {
		return err
	}
	r := raster{image.NewRGBA(image.Rect(0, 0, dots*figureWidth, dots*f.height()))}
	draw.Draw(r, r.Bounds(), image.White, image.Point{}, draw.Src)
	f.draw(r)
	e := png.Encoder{CompressionLevel: png.BestSpeed} // mostly white: it gets small anyway
	return e.Encode(w, r.RGBA)
}

type raster struct{ *image.RGBA }

func (r raster) line(x1, y1, x2, y2, width float64, c color.RGBA) {
	r.segment(point{x1 * dots, y1 * dots}, point{x2 * dots, y2 * dots}, width*dots, c)
}

func (r raster) polyline(points []point, width float64, c color.RGBA) {
	for i := 1; i < len(points); i++ {
		a, b := points[i-1], points[i]
		r.line(a.x, a.y, b.x, b.y, width, c)
	}
}

// segment shades each pixel by how much of it lies within half the width of the line.
func (r raster) segment(a, b point, width float64, c color.RGBA) {
	half := width / 2
	area := image.Rect(
		int(math.Floor(min(a.x, b.x)-half-1)), int(math.Floor(min(a.y, b.y)-half-1)),
		int(math.Ceil(max(a.x, b.x)+half+1)), int(math.Ceil(max(a.y, b.y)+half+1)),
	).Intersect(r.Bounds())
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			d := distance(point{float64(x) + 0.5, float64(y) + 0.5}, a, b)
			r.blend(x, y, c, min(max(half+0.5-d, 0), 1))
		}
	}
}

// distance is from p to the nearest point between a and b.
func distance(p, a, b point) float64 {
	dx, dy := b.x-a.x, b.y-a.y
	along := 0.0
	if length := dx*dx + dy*dy; length > 0 {
		along = min(max(((p.x-a.x)*dx+(p.y-a.y)*dy)/length, 0), 1)
	}
	return math.Hypot(p.x-a.x-along*dx, p.y-a.y-along*dy)
}

func (r raster) blend(x, y int, c color.RGBA, part float64) {
	if part == 0 {
		return
	}
	under := r.RGBAAt(x, y)
	mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a)*part + float64(b)*(1-part))) }
	r.SetRGBA(x, y, color.RGBA{mix(c.R, under.R), mix(c.G, under.G), mix(c.B, under.B), 0xff})
}

func (r raster) rect(x, y, w, h float64, c color.RGBA) {
	area := image.Rect(int(math.Round(x*dots)), int(math.Round(y*dots)), int(math.Round((x+w)*dots)), int(math.Round((y+h)*dots)))
	draw.Draw(r, area, image.NewUniform(c), image.Point{}, draw.Src)
}

// text takes glyphs of 5 × 7, each of its dots as large as one of the SVG; what isn't ASCII becomes a question mark.
func (r raster) text(x, y, align float64, s string, c color.RGBA) {
	letters := []rune(s)
	const advance = glyphColumns + 1
	x -= align * float64(len(letters)*advance-1)
	for i, letter := range letters {
		glyph := glyphOf(letter)
		for column := range glyphColumns {
			for row := range 8 {
				if glyph[column]>>row&1 == 1 {
					r.rect(math.Round(x)+float64(i*advance+column), math.Round(y)-7+float64(row), 1, 1, c)
				}
			}
		}
	}
}
