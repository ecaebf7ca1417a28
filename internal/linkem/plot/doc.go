// Package plot draws panels of lines and bars, as SVG and as PNG from the same description.
//
//	Figure ─▶ draw: frames, ticks, lines, bars, legend ─▶ canvas ─┬▶ vector: SVG text
//	                                                              └▶ raster: PNG, with a font of its own (5 × 7 dots)
//
// It is pure and starts no goroutines. It promises the same bytes for the same figure. It knows no logarithmic axes, and only ASCII.
package plot
