package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/wherry/wherry/control"
	"github.com/wherry/wherry/control/images"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/mesh"
)

// Restore makes the store of a control node, which doesn't run and has none, of a backup: this node becomes its only member. An etcd cluster of one's own
// must have nothing of a network in it. The backup's images are kept first: what breaks off then has changed nothing else. The feed begins a new epoch, so that nodes that are ahead of the backup take what is in it.
func Restore(ctx context.Context, dir string, backup io.ReadSeeker, log *slog.Logger) (records int, kept images.Restored, err error) {
	s, err := readSettings(dir)
	if err != nil {
		return 0, kept, err
	}
	if !s.has(feed.RoleControl) {
		return 0, kept, errors.New("this node has no store: restore on a control node")
	}
	at, external := filepath.Join(dir, storeDir), len(s.Store.Endpoints) > 0
	if !external && store.Started(at) {
		return 0, kept, fmt.Errorf("there is a store in %s already: stop the node and move that folder away first, so that nothing is lost", at)
	}
	id, err := mesh.OpenIdentity(filepath.Join(dir, identityDir))
	if err != nil {
		return 0, kept, err
	}
	if kept, err = restoreImages(s, dir, backup, log); err != nil {
		return 0, kept, err
	}
	records, err = store.Restore(ctx, storeOptions(s, dir, id, log), backup, control.NextEpoch)
	if err != nil && !external {
		err = errors.Join(err, os.RemoveAll(at))
	}
	return records, kept, err
}

// restoreImages puts the images of a backup where this control node has its objects.
func restoreImages(s *Settings, dir string, backup io.ReadSeeker, log *slog.Logger) (kept images.Restored, err error) {
	keeper, err := openKeeper(s, dir, log)
	if err != nil {
		return kept, err
	}
	defer keeper.Close()
	if kept, err = images.Restore(backup, keeper); err != nil {
		return kept, err
	}
	_, err = backup.Seek(0, io.SeekStart)
	return kept, err
}

func openKeeper(s *Settings, dir string, log *slog.Logger) (*feed.Keeper, error) {
	var keys []ed25519.PublicKey
	for _, key := range s.FeedKeys {
		keys = append(keys, key)
	}
	return feed.OpenKeeper(filepath.Join(dir, feedDir), feed.KeeperOptions{Verifier: feed.NewVerifier(keys...), Log: log})
}
