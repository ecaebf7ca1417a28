package control

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/images"
	"github.com/wherry/wherry/feed"
)

// namingRevisions is how many of the latest revisions of the settings keep the images and secrets that they name.
const namingRevisions = 16

func (c *Control) newImages() *images.Images {
	return images.New(images.Options{
		Store: c.o.Store, Keeper: c.o.Keeper, Now: c.o.Now, Log: c.log,
		Named: func(ctx context.Context) (map[feed.Hash]bool, error) {
			named := map[feed.Hash]bool{}
			return named, c.eachSettings(ctx, func(yaml string) { feed.FindImages([]byte(yaml), named) })
		},
		Fetch: func(ctx context.Context, h feed.Hash) error { _, err := c.Program(ctx, h); return err },
	})
}

// PutImage implements api.Images.
func (c *Control) PutImage(ctx context.Context, a api.Actor, h feed.Hash, r io.Reader) (i api.Image, err error) {
	if err = may(a, api.Deploy, ""); err == nil {
		i, err = c.images.Put(ctx, h, r, a.Name, c.audited(a, "put image", images.Key(h), "", "", "", c.now()))
	}
	if err != nil {
		err = c.auditRefusal(ctx, a, "put image", images.Key(h), "", err)
	}
	return i, err
}

// Images implements api.Images.
func (c *Control) Images(ctx context.Context, a api.Actor) ([]api.Image, error) {
	if err := may(a, api.Read, ""); err != nil {
		return nil, err
	}
	return c.images.List(ctx)
}

// Image implements api.Images.
func (c *Control) Image(ctx context.Context, a api.Actor, h feed.Hash, w io.Writer) error {
	if err := may(a, api.Deploy, ""); err != nil {
		return err
	}
	return c.images.Write(ctx, h, w)
}

// IsImage says whether an object is the image of a program, which doesn't go by the tree of the feed as objects do.
func (c *Control) IsImage(h feed.Hash) bool { return c.images.Is(h) }

// eachSettings passes the latest revisions of the settings: those that hold, are on their way, or may be gone back to. What they name is kept.
func (c *Control) eachSettings(ctx context.Context, pass func(yaml string)) error {
	head, _, _, err := read[docHead](ctx, c, headKey(feed.KeyNetwork))
	if err != nil {
		return err
	}
	numbers := []uint64{head.Current, head.Previous, head.Candidate}
	for n := head.Latest; n > 0 && n+namingRevisions > head.Latest; n-- {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range slices.Compact(numbers) {
		rev, err := c.revision(ctx, feed.KeyNetwork, n)
		if err != nil {
			return err
		}
		b, err := c.bundle(ctx, feed.KeyNetwork, rev)
		if err != nil {
			return err
		}
		pass(b.YAML)
	}
	return nil
}

// checkNamed looks whether there is what settings name, and how long nodes may take to get what is new.
func (c *Control) checkNamed(ctx context.Context, d *draft) (err error) {
	if d.settings == nil {
		return nil
	}
	d.fetch, err = c.images.Check(ctx, d.settings, d.before.YAML)
	return errors.Join(err, c.vault.Check(ctx, d.settings))
}
