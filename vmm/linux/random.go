package linux

import "math/rand/v2"

// random is where the program's random bytes come from. The same seed makes the same bytes, and a checkpoint has its state.
type random struct{ *rand.ChaCha8 }

func newRandom(seed [32]byte) random { return random{rand.NewChaCha8(seed)} }

// Reseed begins with new random bytes. After Restore the program would draw those that it drew the last time: where they are to be secret, call this.
func (p *Process) Reseed(seed [32]byte) { p.random.Seed(seed) }

func (r random) fill(b []byte) { _, _ = r.Read(b) }
