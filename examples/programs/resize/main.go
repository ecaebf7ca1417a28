package main

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"log"
	"net/http"
	"strconv"
)

const (
	bodyMax   = 4 << 20  // bytes of a picture that is sent
	pixelsMax = 16 << 20 // of one, before it is decoded: a small file can say that it is huge
	widthMax  = 4096
	quality   = 85 // of JPEG
)

func main() {
	http.HandleFunc("POST /", resize)
	log.Fatal(http.ListenAndServe(":8080", nil))
}

func resize(w http.ResponseWriter, r *http.Request) {
	width, err := strconv.Atoi(r.FormValue("width"))
	if err != nil || width < 1 || width > widthMax {
		http.Error(w, fmt.Sprintf("say ?width=N, 1 to %d pixels", widthMax), http.StatusBadRequest)
		return
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, bodyMax)); err != nil {
		http.Error(w, fmt.Sprintf("send a picture of at most %d bytes", bodyMax), http.StatusRequestEntityTooLarge)
		return
	}
	from, format, err := decode(b.Bytes())
	if err != nil {
		http.Error(w, "send a PNG or JPEG: "+err.Error(), http.StatusUnprocessableEntity)
		return
	}
	to := shrink(from, width)
	w.Header().Set("Content-Type", "image/"+format)
	if format == "png" {
		err = png.Encode(w, to)
	} else {
		err = jpeg.Encode(w, to, &jpeg.Options{Quality: quality})
	}
	if err != nil {
		log.Print("writing the picture: ", err)
	}
}

func decode(b []byte) (image.Image, string, error) {
	about, _, err := image.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return nil, "", err
	}
	if about.Width < 1 || about.Height < 1 || about.Height > pixelsMax/about.Width {
		return nil, "", errors.New("it has too many pixels")
	}
	return image.Decode(bytes.NewReader(b))
}

// shrink returns a picture of a width, at most its own, whose pixels are the means of those that they stand for.
func shrink(from image.Image, width int) image.Image {
	size := from.Bounds().Size()
	width = min(width, size.X)
	height := max(1, (size.Y*width+size.X/2)/size.X)
	to := image.NewRGBA64(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			to.SetRGBA64(x, y, mean(from, image.Rect(x*size.X/width, y*size.Y/height, (x+1)*size.X/width, (y+1)*size.Y/height)))
		}
	}
	return to
}

func mean(from image.Image, area image.Rectangle) color.RGBA64 {
	var r, g, b, a, n uint64
	origin := from.Bounds().Min
	for y := area.Min.Y; y < area.Max.Y; y++ {
		for x := area.Min.X; x < area.Max.X; x++ {
			pr, pg, pb, pa := from.At(origin.X+x, origin.Y+y).RGBA()
			r, g, b, a, n = r+uint64(pr), g+uint64(pg), b+uint64(pb), a+uint64(pa), n+1
		}
	}
	return color.RGBA64{R: uint16(r / n), G: uint16(g / n), B: uint16(b / n), A: uint16(a / n)}
}
