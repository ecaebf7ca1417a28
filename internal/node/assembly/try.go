package assembly

import (
	"context"
	"errors"
	"os"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/config/programs"
	"github.com/wherry/wherry/feed"
)

// Try makes the configuration that would hold with a document, of an object and what comes with it, files by their hashes and secrets by secret:ID, that nobody else has yet, for somebody
// to look at. clean removes what it put on the disk.
func (a *Assembly) Try(ctx context.Context, key string, object []byte, content map[string][]byte) (s *config.Snapshot, clean func(), err error) {
	dir, err := os.MkdirTemp("", "wherry-try-")
	if err != nil {
		return nil, func() {}, err
	}
	clean = func() { _ = os.RemoveAll(dir) }
	sent := func(name string) ([]byte, error) {
		if data, ok := content[name]; ok {
			return data, nil
		}
		return nil, errors.New("it wasn't sent along")
	}
	get := func(_ context.Context, h feed.Hash) ([]byte, error) { return sent(h.String()) }
	u, err := parse(ctx, key, object, &Files{Dir: dir, Object: get, Secret: get})
	if err != nil {
		return nil, clean, err
	}
	var secrets *Secrets
	if a.o.Secrets != nil {
		secrets = &Secrets{Dir: dir, Get: func(_ context.Context, id string) ([]byte, error) { return sent(programs.SecretName + id) }}
	}
	if err := a.programs(ctx, &u, secrets); err != nil {
		return nil, clean, err
	}
	before, held := a.used[key]
	a.used[key] = u
	s, err = a.compose()
	if delete(a.used, key); held {
		a.used[key] = before
	}
	return s, clean, err
}
