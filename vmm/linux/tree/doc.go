// Package tree is the tree of files that one guest process sees, none of them real: names and what is behind them, with no descriptors.
//
// It's an Image, read-only and shared by all processes of a program, with /dev, /proc and /sys made by this room, and memory file systems at /tmp, /dev/shm
// and where the caller says; of a whole root file system (ImageOptions.Root) also where it has directories
// without a file. Paths are walked as Linux does, with its errors. What a file of /proc holds is the caller's, and so is which descriptors there
// are: /proc/self/fd lists them, and paths go through them.
//
// A Node is a file, directory or link. Its exported fields never change. What changes is kept in the ledger's log before, so that Undo takes it back; pages of
// memory files are written in place only by the Tree and in the generation that made them, and are shared by all states and trees otherwise. A Graph is all
// nodes of a state, to be written and read; what it reads is checked before a Tree takes it.
//
// Bounds: Memory and Nodes of the ledger's limits, and limits.go. Permissions are kept and told, and bind nobody but by being read-only: the program is root.
//
// A Tree belongs to one goroutine. An Image is immutable. This room starts no goroutines.
package tree
