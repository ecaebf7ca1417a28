package plot

import (
	"cmp"
	"errors"
	"image/color"
	"math"
	"strconv"
)

// Figure is a title and panels below each other.
type Figure struct {
	Title  string
	Panels []Panel
}

// Panel is one pair of axes. X of a panel of bars isn't drawn.
type Panel struct {
	Title string
	X, Y  string // what the axes are, with the unit
	Lines []Line
	Bars  []Bar
}

// Line joins points; the slices are of the same length.
type Line struct {
	Name string
	X, Y []float64
}

// Bar is one value; those of the same name have the same colour.
type Bar struct {
	Name  string
	Value float64
}

// canvas is what a figure is drawn on; (0, 0) is at the top left.
type canvas interface {
	line(x1, y1, x2, y2, width float64, c color.RGBA)
	polyline(points []point, width float64, c color.RGBA)
	rect(x, y, w, h float64, c color.RGBA)
	text(x, y float64, align float64, s string, c color.RGBA) // align: 0 begins at x, 0.5 is centred, 1 ends there; y is the base line
}

type point struct{ x, y float64 }

// Sizes, in dots of the SVG.
const (
	figureWidth = 900
	titleHeight = 34
	panelHeight = 250
	marginLeft  = 80
	marginRight = 150 // the legend
	marginTop   = 26
	marginFoot  = 46
	ticksWanted = 5
)

var (
	ink   = color.RGBA{0x22, 0x22, 0x22, 0xff}
	faint = color.RGBA{0xdd, 0xdd, 0xdd, 0xff}
	// palette is that of Okabe and Ito, which people who see fewer colours can tell apart too.
	palette = []color.RGBA{
		{0x00, 0x72, 0xb2, 0xff},
		{0xd5, 0x5e, 0x00, 0xff},
		{0x00, 0x9e, 0x73, 0xff},
		{0xcc, 0x79, 0xa7, 0xff},
		{0xe6, 0x9f, 0x00, 0xff},
		{0x56, 0xb4, 0xe9, 0xff},
		{0x88, 0x88, 0x88, 0xff},
		{0x00, 0x00, 0x00, 0xff},
	}
)

func (f Figure) height() int { return titleHeight + len(f.Panels)*panelHeight }

// check finds what can't be drawn.
func (f Figure) check() error {
	if len(f.Panels) == 0 || len(f.Panels) > 16 {
		return errors.New("a figure has 1 to 16 panels")
	}
	for _, p := range f.Panels {
		for _, l := range p.Lines {
			if len(l.X) != len(l.Y) {
				return errors.New("BUG: a line has as many X as Y")
			}
		}
	}
	return nil
}

// draw puts all panels on a canvas.
func (f Figure) draw(c canvas) {
	c.text(figureWidth/2, 22, 0.5, f.Title, ink)
	colours := f.colours()
	for i, p := range f.Panels {
		p.draw(c, float64(titleHeight+i*panelHeight), colours)
	}
}

// colours gives each name one, in the order in which they come.
func (f Figure) colours() map[string]color.RGBA {
	colours := map[string]color.RGBA{}
	add := func(name string) {
		if _, ok := colours[name]; !ok {
			colours[name] = palette[len(colours)%len(palette)]
		}
	}
	for _, p := range f.Panels {
		for _, l := range p.Lines {
			add(l.Name)
		}
		for _, b := range p.Bars {
			add(b.Name)
		}
	}
	return colours
}

// frame is where a panel's values are drawn.
type frame struct {
	left, top, width, height float64
	xMax, yMax               float64
}

func (f frame) x(v float64) float64 { return f.left + f.width*v/f.xMax }
func (f frame) y(v float64) float64 { return f.top + f.height*(1-v/f.yMax) }

func (p Panel) draw(c canvas, top float64, colours map[string]color.RGBA) {
	f := frame{
		left: marginLeft, top: top + marginTop, width: figureWidth - marginLeft - marginRight, height: panelHeight - marginTop - marginFoot,
	}
	f.xMax, f.yMax = p.reach()
	step := niceStep(f.yMax)
	f.yMax = math.Ceil(f.yMax/step) * step
	c.text(f.left, top+marginTop-8, 0, p.Title+", "+p.Y, ink)
	for v := 0.0; v <= f.yMax*1.0001; v += step {
		c.line(f.left, f.y(v), f.left+f.width, f.y(v), 1, faint)
		c.text(f.left-8, f.y(v)+4, 1, label(v), ink)
	}
	if len(p.Bars) > 0 {
		p.bars(c, f, colours)
	} else {
		step := niceStep(f.xMax)
		for v := 0.0; v <= f.xMax*1.0001; v += step {
			c.line(f.x(v), f.top+f.height, f.x(v), f.top+f.height+4, 1, ink)
			c.text(f.x(v), f.top+f.height+18, 0.5, label(v), ink)
		}
		c.text(f.left+f.width/2, f.top+f.height+36, 0.5, p.X, ink)
	}
	c.line(f.left, f.top, f.left, f.top+f.height, 1, ink)
	c.line(f.left, f.top+f.height, f.left+f.width, f.top+f.height, 1, ink)
	for i, l := range p.Lines {
		points := make([]point, len(l.X))
		for i := range points {
			points[i] = point{f.x(l.X[i]), f.y(l.Y[i])}
		}
		c.polyline(points, 1.6, colours[l.Name])
		y := f.top + 8 + float64(i)*18
		c.rect(f.left+f.width+12, y-6, 14, 4, colours[l.Name])
		c.text(f.left+f.width+32, y, 0, l.Name, ink)
	}
}

// bars stand beside each other, those of one name under one label.
func (p Panel) bars(c canvas, f frame, colours map[string]color.RGBA) {
	slot := f.width / float64(len(p.Bars))
	for i := 0; i < len(p.Bars); {
		begin := i
		for ; i < len(p.Bars) && p.Bars[i].Name == p.Bars[begin].Name; i++ {
			b := p.Bars[i]
			c.rect(f.left+float64(i)*slot+slot*0.1, f.y(b.Value), slot*0.8, f.y(0)-f.y(b.Value), colours[b.Name])
		}
		c.text(f.left+float64(begin+i)/2*slot, f.top+f.height+18, 0.5, p.Bars[begin].Name, ink)
	}
	if p.X != "" {
		c.text(f.left+f.width/2, f.top+f.height+36, 0.5, p.X, ink)
	}
}

// reach is the largest of all values, and 1 where there is none above 0.
func (p Panel) reach() (x, y float64) {
	for _, l := range p.Lines {
		for i := range l.X {
			x, y = max(x, l.X[i]), max(y, l.Y[i])
		}
	}
	for _, b := range p.Bars {
		y = max(y, b.Value)
	}
	return cmp.Or(x, 1), cmp.Or(y, 1)
}

// niceStep is 1, 2 or 5 times a power of ten, for about ticksWanted ticks.
func niceStep(reach float64) float64 {
	rough := reach / ticksWanted
	power := math.Pow(10, math.Floor(math.Log10(rough)))
	switch {
	case rough <= power:
		return power
	case rough <= 2*power:
		return 2 * power
	case rough <= 5*power:
		return 5 * power
	}
	return 10 * power
}

func label(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
