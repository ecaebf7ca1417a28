package api

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/wherry/wherry/feed"
)

// Image is an image of a program that control has. Settings name it as sha256:HASH.
type Image struct {
	Hash   feed.Hash `json:"hash"`
	Size   int64     `json:"size"`
	At     time.Time `json:"at"`
	Author string    `json:"author"`
	Named  bool      `json:"named"` // by settings that hold, are being rolled out or held before; others make room when there is none
}

// Images keeps images of programs for nodes.
type Images interface {
	// PutImage keeps an image, if it is what its hash says. One that is there already isn't read.
	PutImage(ctx context.Context, a Actor, hash feed.Hash, image io.Reader) (Image, error)
	Images(ctx context.Context, a Actor) ([]Image, error) // by hash
	// Image writes an image to w.
	Image(ctx context.Context, a Actor, hash feed.Hash, w io.Writer) error
}

// PutImage implements Images.
func (Unavailable) PutImage(context.Context, Actor, feed.Hash, io.Reader) (Image, error) {
	return Image{}, unavailable("keep images of programs")
}

// Images implements Images.
func (Unavailable) Images(context.Context, Actor) ([]Image, error) {
	return nil, unavailable("keep images of programs")
}

// Image implements Images.
func (Unavailable) Image(context.Context, Actor, feed.Hash, io.Writer) error {
	return unavailable("keep images of programs")
}

func imageRoutes() []route {
	return []route{
		{
			method: http.MethodGet, path: "/images", id: "images", verb: Read, summary: "The images of programs that control has, by hash", out: []Image{},
			serve: func(ctx context.Context, c *call) (any, error) { return c.service.Images(ctx, c.actor) },
		},
		{
			method: http.MethodPut, path: "/images/{hash}", id: "putImage", verb: Deploy, summary: "Keep the image of a program",
			about: "The body is a static Linux program, or a tar archive of a root file system that has one, of at most 256 MiB, the path its SHA-256. An image that is there already isn't read again. " +
				"Programs in the network's settings name it as `sha256:HASH`.",
			in: octets{}, out: Image{}, bodyMax: feed.ObjectMax, bound: boundLong,
			serve: func(ctx context.Context, c *call) (any, error) {
				hash, err := c.hash("hash")
				if err != nil {
					return nil, err
				}
				if err := c.checkType("application/octet-stream"); err != nil {
					return nil, err
				}
				body := c.body()
				image, err := c.service.PutImage(ctx, c.actor, hash, body)
				_, _ = io.Copy(io.Discard, body) // who is still writing would see a reset connection instead of the answer
				return image, err
			},
		},
		{
			method: http.MethodGet, path: "/images/{hash}", id: "image", verb: Deploy, summary: "The bytes of an image",
			about: "An answer that breaks off isn't the image: compare the hash.", out: octets{}, bound: boundLong,
			serve: func(ctx context.Context, c *call) (any, error) {
				hash, err := c.hash("hash")
				if err != nil {
					return nil, err
				}
				return stream(func(w io.Writer) error { return c.service.Image(ctx, c.actor, hash, w) }), nil
			},
		},
	}
}

// hash reads a hash that stands in the path.
func (c *call) hash(name string) (h feed.Hash, err error) {
	if h.UnmarshalText([]byte(c.path(name))) != nil || h.IsZero() {
		return h, newProblem(http.StatusBadRequest, strconv.Quote(c.path(name))+" is no hash.", "Write the SHA-256 of the image, 64 hexadecimal digits, as sha256sum prints it.")
	}
	return h, nil
}

// PutImage is Images.PutImage. The image is streamed.
func (c *Client) PutImage(ctx context.Context, hash feed.Hash, image io.Reader) (Image, error) {
	return send[Image](ctx, c, http.MethodPut, "/images"+segment(hash.String()), nil, image)
}

// Images is Images.Images.
func (c *Client) Images(ctx context.Context) ([]Image, error) {
	return get[[]Image](ctx, c, "/images", nil)
}

// Image is Images.Image. What w got before an error is no image.
func (c *Client) Image(ctx context.Context, hash feed.Hash, w io.Writer) error {
	return c.exchange(ctx, http.MethodGet, "/images"+segment(hash.String()), nil, "", nil, func(body io.Reader) error {
		_, err := io.Copy(w, body)
		return err
	})
}
