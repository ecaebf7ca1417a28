package assembly

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/wherry/wherry/certs"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/feed"
)

// Files are the files of sites on this node's disk, by the hash of their content, readable by this user alone.
type Files struct {
	Dir string
	// Object returns the content of a file that is no secret.
	Object func(ctx context.Context, ref feed.Hash) ([]byte, error)
	// Secret asks control for one that is.
	Secret func(ctx context.Context, ref feed.Hash) ([]byte, error)
}

// place puts the files of a bundle on the disk and has the site name those.
func (f *Files) place(ctx context.Context, site *config.Site, bundle *feed.SiteBundle) error {
	placed := map[string]string{}
	for _, file := range bundle.Files {
		path, err := f.have(ctx, &file)
		if err != nil {
			return &missingError{fmt.Errorf("%s: %w", file.Name, err)}
		}
		placed[file.Name] = path
	}
	for _, name := range []*string{&site.Fetch.CAFile, certificateOf(site), keyOf(site)} {
		if name == nil || *name == "" {
			continue
		}
		path, ok := placed[*name]
		if !ok {
			return fmt.Errorf("%s isn't in what was applied: apply the site again from where the file is", *name)
		}
		*name = path
	}
	return nil
}

func certificateOf(site *config.Site) *string {
	if site.TLS == nil {
		return nil
	}
	return &site.TLS.Certificate
}

func keyOf(site *config.Site) *string {
	if site.TLS == nil {
		return nil
	}
	return &site.TLS.Key
}

// have returns where a file is, after it has fetched it if need be.
func (f *Files) have(ctx context.Context, file *feed.BundleFile) (string, error) {
	path := f.path(file.Object)
	if data, err := os.ReadFile(path); err == nil && feed.HashOf(data) == file.Object {
		return path, nil
	}
	from := f.Object
	if file.Secret {
		from = f.Secret
	}
	data, err := from(ctx, file.Object)
	if err != nil {
		return "", err
	}
	if feed.HashOf(data) != file.Object {
		return "", errors.New("what was sent isn't what was asked for")
	}
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return "", err
	}
	return path, certs.WriteSecret(path, data)
}

// keep removes all files but those.
func (f *Files) keep(paths map[string]bool) { removeOthers(f.Dir, paths) }

// removeOthers removes all files of a folder but those.
func removeOthers(dir string, paths map[string]bool) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return // the next time
	}
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); !paths[path] {
			_ = os.Remove(path) // the next time
		}
	}
}

// files returns the files that are in use.
func (a *Assembly) files() map[string]bool {
	paths := map[string]bool{}
	for _, u := range a.used {
		for _, h := range u.files {
			paths[a.o.Files.path(h)] = true
		}
	}
	return paths
}

func (f *Files) path(h feed.Hash) string { return filepath.Join(f.Dir, h.String()) }
