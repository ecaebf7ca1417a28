// Package ledger is what the things of one guest process have in common: what they have used of its limits, the log that leads back to the last checkpoint,
// and how they're written into a state and read from it.
//
// Every thing that a process can change has a Mark. The first change after a checkpoint keeps what the thing was, in the thing itself, and notes it in the
// log; Undo goes through the log and looks at nothing else. What is made after the checkpoint needs no keeping: nothing that is put back points to it. So the
// log has at most the things that were there at the checkpoint. To be done in every method that changes a thing, first: l.Keep(&thing.mark, thing).
//
// A Coder writes a thing or reads it by the same calls, so that the two can't differ. What it reads may be anybody's bytes: it makes no list longer than
// what's left of them, and whoever made the thing checks what it says.
//
// It knows nothing of what the things are. A Ledger belongs to one goroutine, which is its table's. This room starts no goroutines.
package ledger
