package feed

import "errors"

// Signed is an Entry with control's signature.
type Signed struct{ Bytes, Signature []byte }

// Checkpoint is a State with control's signature.
type Checkpoint struct{ Bytes, Signature []byte }

// State is what holds at a position.
type State struct {
	Position   Position       `json:"position"`
	Head       Hash           `json:"head"` // of the entry at Position
	Docs       map[string]Doc `json:"docs,omitempty"`
	Purges     []PurgeAt      `json:"purges,omitempty"`
	PurgeFloor uint64         `json:"purge_floor,omitempty"` // purges up to here aren't among Purges any more
}

// PurgeAt is a purge with its place in the log.
type PurgeAt struct {
	Seq uint64 `json:"seq"`
	Purge
}

// What is wrong with an entry or a checkpoint, and what helps.
var (
	ErrGap    = errors.New("an entry before it is missing; ask for the entries after the position that you have, or for a checkpoint")
	ErrForged = errors.New("not signed by this network's control; ask another node, and don't trust this one")
	ErrOld    = errors.New("already known; nothing is to be done")
	ErrFork   = errors.New("it doesn't follow from what is known here: control was set back without a new epoch, or somebody has its key; restore it with wherry control restore, which begins a new epoch")
)
