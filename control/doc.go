// Package control decides: it keeps sites and settings in revisions that nobody changes, checks what is to be applied, publishes what holds
// through the feed, has roll-outs carry changes out, lets nodes join and removes them, keeps secrets, and answers the API. Its state
// lives in control/store, so any number of control nodes do the same work; what must be done by one is done by the leader (Lead), whose
// transactions hold only as long as nobody else is.
//
// What it keeps, below the store's own prefix:
//
//	epoch                     the feed's epoch; a restore from a backup raises it
//	head                      position and hash of the feed's last entry: who publishes changes it
//	log/EPOCH/SEQ             the last entries of the feed, signed
//	docs/KEY                  the feed's documents as they hold
//	object/HASH/PART          what documents point to
//	secret/HASH/PART          the same for secrets, sealed
//	head/KEY, rev/KEY/NUMBER  a document's state, and its revisions
//	outcome/KEY/NUMBER        of a revision that was reverted
//	rollout/ID                a rollout.State
//	node/NAME                 a node
//	revoked                   who was removed
//	join/ID, token/HASH       tokens, by the hash of their secrets
//	image/HASH                an image of a program, which lies on each control node's disk
//	vault/…                   secrets of programs, sealed: see room vault
//	audit/TIME                who did what
//
// Run follows the feed in the store into this node's Keeper; Lead does the leader's work. Both return when their context ends, with all
// of their goroutines gone.
package control
