package assembly

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/wherry/wherry/certs"
	"github.com/wherry/wherry/config/programs"
	"github.com/wherry/wherry/feed"
)

// Secrets are the secrets of programs on this node's disk, each under its name, readable by this user alone. What has a name never changes.
type Secrets struct {
	Dir string
	// Get asks control for one.
	Get func(ctx context.Context, id string) ([]byte, error)
}

// place puts the secrets that settings name on the disk and has the settings name those files. nil: this node runs no programs.
func (s *Secrets) place(ctx context.Context, u *use) error {
	if s == nil || u.settings == nil {
		return nil
	}
	list, err := feed.SecretsOf(u.settings)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range list {
		if err := s.have(ctx, id); err != nil {
			errs = append(errs, &missingError{fmt.Errorf("%s%s: %w", programs.SecretName, id, err)})
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for _, name := range slices.Sorted(maps.Keys(u.settings.Programs)) {
		secrets := u.settings.Programs[name].Secrets
		for variable, text := range secrets {
			id, _ := programs.KeptSecret(text) // SecretsOf has found that they are
			path, err := filepath.Abs(s.path(id))
			if err != nil {
				return err
			}
			secrets[variable] = path
		}
	}
	u.secrets = list
	return nil
}

// have fetches a secret that isn't here.
func (s *Secrets) have(ctx context.Context, id string) error {
	if info, err := os.Stat(s.path(id)); err == nil && info.Mode().IsRegular() {
		return nil
	}
	value, err := s.Get(ctx, id)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	return certs.WriteSecret(s.path(id), value)
}

func (s *Secrets) path(id string) string { return filepath.Join(s.Dir, id) }

// keepSecrets removes the secrets that what is in use doesn't name.
func (a *Assembly) keepSecrets() {
	u, ok := a.used[feed.KeyNetwork]
	if a.o.Secrets == nil || !ok {
		return
	}
	paths := map[string]bool{}
	for _, id := range u.secrets {
		paths[a.o.Secrets.path(id)] = true
	}
	removeOthers(a.o.Secrets.Dir, paths)
}
