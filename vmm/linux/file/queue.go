package file

// queue is bytes in the order in which they came.
type queue struct {
	b   []byte
	off int
}

func (q *queue) len() int { return len(q.b) - q.off }

func (q *queue) push(p []byte) {
	if q.off > 0 && len(q.b)+len(p) > cap(q.b) {
		q.b = q.b[:copy(q.b, q.b[q.off:])]
		q.off = 0
	}
	q.b = append(q.b, p...)
}

func (q *queue) peek(p []byte) int { return copy(p, q.b[q.off:]) }

func (q *queue) drop(n int) {
	if q.off += n; q.off == len(q.b) {
		q.b, q.off = q.b[:0], 0
	}
}

// set makes q hold what o holds, in memory of its own.
func (q *queue) set(o *queue) {
	q.b, q.off = append(q.b[:0], o.b[o.off:]...), 0
}

// total is the length of all of v, up to what one call moves.
func total(v [][]byte) (n int) {
	for _, p := range v {
		n += len(p)
	}
	return min(n, rwMax)
}

// gather copies the beginning of v to p, for the objects that take so many bytes and no fewer.
func gather(p []byte, v [][]byte) {
	for _, b := range v {
		p = p[copy(p, b):]
	}
}

// scatter copies p to the beginning of v.
func scatter(v [][]byte, p []byte) {
	for _, b := range v {
		p = p[copy(b, p):]
	}
}
