package ledger

// Ledger is one process's. The zero value has no limits: New gives them.
type Ledger struct {
	Limits  Limits
	Now     Counts
	Version uint64 // changes whenever the readiness of anything may have changed

	then       Counts
	generation uint64   // counts checkpoints and restores; what was kept or made in this one isn't kept again
	log        []Keeper // what was kept in this generation
	restored   uint64   // the first generation after the checkpoint: what was made since isn't in it
}

// Counts are what the process has of what is limited, and the numbers that it gives.
type Counts struct {
	Files    int   // open files, pipes and sockets
	Nodes    int   // files, directories and links in memory file systems
	Memory   int64 // bytes in memory files
	Watches  int   // descriptors in epoll instances
	Buffers  int64 // bytes in pipes and sockets
	Output   int64 // bytes written to stdout and stderr
	Exceeded bool  // there was more output than its limit
	Ino      uint64
}

// Keeper is a thing that can keep what it is, and be that again.
type Keeper interface {
	Save()
	Back()
}

// Mark says in which generation a thing was kept last, or made.
type Mark struct{ generation uint64 }

// New makes the ledger of a process that has nothing; firstIno is the inode number before the first that it gives.
func New(limits Limits, firstIno uint64) *Ledger {
	return &Ledger{Limits: limits.withDefaults(), Now: Counts{Ino: firstIno}}
}

// Keep is to be called before a change of k.
func (l *Ledger) Keep(m *Mark, k Keeper) {
	if m.generation != l.generation {
		l.keep(m, k)
	}
}

func (l *Ledger) keep(m *Mark, k Keeper) {
	m.generation = l.generation
	k.Save()
	l.log = append(l.log, k)
}

// Made is the mark of a thing that is new.
func (l *Ledger) Made() Mark { return Mark{generation: l.generation} }

// Fresh says whether a thing was made or kept in this generation: it may be changed in place.
func (l *Ledger) Fresh(m Mark) bool { return m.generation == l.generation }

// Since says whether a thing was made after the last checkpoint.
func (l *Ledger) Since(m Mark) bool { return m.generation >= l.restored }

// Checkpoint makes what is now what Undo leads back to.
func (l *Ledger) Checkpoint() {
	clear(l.log)
	l.log = l.log[:0]
	l.then = l.Now
	l.generation++
	l.restored = l.generation
}

// Undo takes everything back to the last Checkpoint.
func (l *Ledger) Undo() {
	for _, k := range l.log {
		k.Back()
	}
	clear(l.log)
	l.log = l.log[:0]
	l.Now = l.then
	l.generation++
}

// Ino gives an inode number that nothing has yet.
func (l *Ledger) Ino() uint64 {
	l.Now.Ino++
	return l.Now.Ino
}
