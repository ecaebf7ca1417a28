package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/wherry/wherry/control"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/mesh"
)

// Restore makes the store of a control node, which doesn't run and has none, of a backup: this node becomes its only member. An etcd cluster of one's own
// must have nothing of a network in it. The feed begins
// a new epoch, so that nodes that are ahead of the backup take what is in it.
func Restore(ctx context.Context, dir string, backup io.ReadSeeker, log *slog.Logger) (records int, err error) {
	s, err := readSettings(dir)
	if err != nil {
		return 0, err
	}
	if !s.has(feed.RoleControl) {
		return 0, errors.New("this node has no store: restore on a control node")
	}
	at, external := filepath.Join(dir, storeDir), len(s.Store.Endpoints) > 0
	if !external && store.Started(at) {
		return 0, fmt.Errorf("there is a store in %s already: stop the node and move that folder away first, so that nothing is lost", at)
	}
	id, err := mesh.OpenIdentity(filepath.Join(dir, identityDir))
	if err != nil {
		return 0, err
	}
	records, err = store.Restore(ctx, storeOptions(s, dir, id, log), backup, control.NextEpoch)
	if err != nil && !external {
		err = errors.Join(err, os.RemoveAll(at))
	}
	if err != nil {
		return records, err
	}
	return records, nil
}
