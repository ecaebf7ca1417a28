package kv

// What may be written. A quota holds for what all nodes have together, and each node writes without asking the others. So there are two rules at the door of each:
//
// What this node sees, all that is ordered and its own writes over it, stays within the quota. The feed tells nodes of each other's writes, within a second or two.
//
// What this node has written and control hasn't ordered is at most this node's share of what is left up to twice the quota: a part for each node that may write. A single key always
// may be written, or the smallest share would be none.
//
// So N nodes pass a quota by no more than what they write before they hear of each other. As long as all know what is ordered, a namespace has at most twice its quota. Whatever they do
// while they hear nothing, it has three times that: let U be what is ordered by the newest page that any node knew when it wrote. U is within the quota, or that node wrote nothing that
// grows; and what isn't in U are writes that their nodes had claimed, each at most 2 quotas/N. Where that is less than one write, it is one for each node instead. N may be too small at nodes that
// are cut off while others join; then it is more by as much.
//
// For the memory of all namespaces it is the same, with 7/8 of it as the quota, and all of it instead of twice that. There control drops what goes over it (machine.order): of nodes
// that were cut off while others filled it.

// fits says why there is no room for a write.
func (s *Store) fits(op *Op, before *Record) error {
	if s.o.Source != nil && s.m.outbox+op.size() > s.o.Limits.Outbox {
		return errOutbox(s.m.outbox)
	}
	if op.Kind == OpDelete {
		return nil
	}
	if err := s.fitsQuota(op, before); err != nil {
		return err
	}
	return s.fitsShare(op)
}

// fitsQuota holds what this node sees to the quotas. What takes no more than it did always may.
func (s *Store) fitsQuota(op *Op, before *Record) error {
	l, q := &s.o.Limits, s.o.Limits.of(op.Namespace)
	after := apply(before, op, op.At)
	var grown usage
	grown.add(op.Key, before, -1)
	grown.add(op.Key, after, 1)
	if grown.bytes <= 0 && grown.keys <= 0 {
		return nil
	}
	var has usage
	space := s.m.spaces[op.Namespace]
	if space != nil {
		has = space.view
	}
	switch {
	case space == nil && len(s.m.spaces) >= l.Namespaces:
		return errNamespaces(l.Namespaces)
	case has.bytes+grown.bytes > q.Bytes:
		return errBytes(has.bytes, q.Bytes)
	case has.keys+grown.keys > q.Keys:
		return errKeys(q.Keys)
	case s.m.view.memory()+grown.memory() > l.Node/8*7:
		return errNode(l.Node)
	}
	return nil
}

// fitsShare holds what isn't ordered to this node's share.
func (s *Store) fitsShare(op *Op) error {
	if s.o.Source == nil {
		return nil // it orders by itself
	}
	nodes, q := int64(max(1, s.nodes)), s.o.Limits.of(op.Namespace)
	var ordered, claimed usage
	more := op.claims()
	if space := s.m.spaces[op.Namespace]; space != nil {
		ordered, claimed = space.ordered, space.claimed
		if e := space.keys[op.Key]; e != nil {
			more = more.beyond(e.claimed)
		}
	}
	if more == (usage{}) {
		return nil
	}
	with := claimed.plus(more)
	if claimed.keys > 0 && (int64(with.keys) > (2*int64(q.Keys)-int64(ordered.keys))/nodes || with.bytes > (2*q.Bytes-ordered.bytes)/nodes) {
		return errShare(claimed.bytes, "the namespace")
	}
	all := s.m.claimed
	if all.keys > 0 && all.plus(more).memory() > (s.o.Limits.Node-s.m.ordered.memory())/nodes {
		return errShare(all.bytes, "all namespaces together")
	}
	return nil
}
