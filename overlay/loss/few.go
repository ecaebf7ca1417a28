package loss

// Few is what was in a packet; mostly one or two things, for which it needs no memory of its own.
type Few[F any] struct {
	few  [2]F
	n    int
	more []F
}

// Add takes one more.
func (g *Few[F]) Add(f F) {
	if g.n < len(g.few) {
		g.few[g.n] = f
	} else {
		g.more = append(g.more, f)
	}
	g.n++
}

// Each calls f with all, in the order in which they were added.
func (g *Few[F]) Each(f func(*F)) {
	for i := range min(g.n, len(g.few)) {
		f(&g.few[i])
	}
	for i := range g.more {
		f(&g.more[i])
	}
}
