package assembly

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// programs says whether all is here that programs need of what is to be used. Secrets come last: those of what waits would be removed again.
func (a *Assembly) programs(ctx context.Context, u *use, secrets *Secrets) error {
	if err := a.images(u); err != nil {
		return err
	}
	return secrets.place(ctx, u)
}

// images says whether the images are here that settings name. A site that names programs waits for settings that do.
func (a *Assembly) images(u *use) error {
	if a.o.Images == nil {
		return nil
	}
	if why, waits := a.waiting[feed.KeyNetwork]; waits && u.site != nil && slices.ContainsFunc(u.site.Rules, func(r config.Rule) bool { return len(r.Programs()) > 0 }) {
		return &missingError{fmt.Errorf("the network's settings, which have its programs: %s", why)}
	}
	if u.settings == nil {
		return nil
	}
	list, err := feed.ImagesOf(u.settings)
	if err != nil {
		return err
	}
	if err := a.o.Images.Have(list); err != nil {
		return &missingError{err}
	}
	return nil
}

// keepImages lets go of images that what is in use doesn't name.
func (a *Assembly) keepImages() {
	u, ok := a.used[feed.KeyNetwork]
	if a.o.Images == nil || !ok {
		return
	}
	if list, err := feed.ImagesOf(u.settings); err == nil {
		_ = a.o.Images.Keep(list) // the next time
	}
}

// Missing says whether an error is that something isn't here yet, which is nobody's mistake.
func Missing(err error) bool { return errors.As(err, new(*missingError)) }
