package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"

	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/internal/handover"
)

// takeRecord has this machine remember what its record says since somebody changed it. What it is to the others they know from the record; what it
// does itself, which its roles say, is for a new process.
func (f *follower) takeRecord(ctx context.Context, ref feed.Ref) {
	if ref.IsZero() || ref == f.record {
		return
	}
	data, err := f.n.tree.Object(ctx, ref.Object)
	var r feed.NodeRecord
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		f.n.log.Warn("what this node is to be isn't known yet; asking again", "error", err)
		return
	}
	f.record = ref
	next := f.n.s.changed(&r)
	f.upgrading.roles = nil // they may have been changed back before it came to that
	switch {
	case !sameRoles(next.Roles, f.n.s.Roles):
		f.upgrading.roles = &next
	case !reflect.DeepEqual(next, f.written):
		if err := next.write(f.n.o.Dir); err != nil {
			f.n.log.Warn("this node's new place couldn't be written; after a restart it is asked for again", "error", err)
			return
		}
		f.written = next
	}
}

// changed are the settings as a record has them.
func (s *Settings) changed(r *feed.NodeRecord) Settings {
	next := *s
	next.Cluster, next.Rack, next.Roles, next.Addresses = r.Cluster, r.Rack, r.Roles, r.Addresses
	if r.Mesh != s.meshAt() {
		next.MeshAt = r.Mesh
	}
	return next
}

func sameRoles(a, b []feed.Role) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// become makes this node one of other roles: with a certificate that names them, and in a new process of the same program, which takes over the doors.
func (n *Node) become(ctx context.Context, next *Settings) error {
	ctx, cancel := context.WithTimeout(ctx, upgradeWithin)
	defer cancel()
	if err := n.identity.Renew(ctx, n.renew); err != nil {
		return fmt.Errorf("%w: a certificate for the roles %v: %w", errLater, next.Roles, err)
	}
	if who, _ := n.identity.Who(); !sameRoles(who.Roles, next.Roles) {
		return fmt.Errorf("%w: control has issued a certificate for the roles %v, and they are to be %v", errLater, who.Roles, next.Roles)
	}
	if err := next.write(n.o.Dir); err != nil {
		return fmt.Errorf("%w: %w", errLater, err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	doors, handed, err := n.doors.HandOver()
	if err != nil {
		return errors.Join(errLater, err)
	}
	child, err := handover.Start(ctx, handover.Options{Program: self, Args: os.Args, Doors: doors, Serve: serveWithin})
	handed(err == nil)
	if err != nil {
		return errors.Join(errLater, err)
	}
	n.log.Info("making room for a process with other roles", "roles", next.Roles, "pid", child.Pid())
	n.successor.Store(&successor{child: child})
	n.makeRoom()
	return nil
}
