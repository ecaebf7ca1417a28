package iovec

// Max is what one call moves at most (MAX_RW_COUNT).
const Max = 0x7ffff000

// Queue is bytes in the order in which they came.
type Queue struct {
	b   []byte
	off int
}

// Len is how many bytes there are.
func (q *Queue) Len() int { return len(q.b) - q.off }

// Push appends bytes.
func (q *Queue) Push(p []byte) {
	if q.off > 0 && len(q.b)+len(p) > cap(q.b) {
		q.b = q.b[:copy(q.b, q.b[q.off:])]
		q.off = 0
	}
	q.b = append(q.b, p...)
}

// Bytes are what there is; it's the queue's memory, good till the next Push or Pop.
func (q *Queue) Bytes() []byte { return q.b[q.off:] }

// Of makes b, which it keeps, the bytes of the queue.
func Of(b []byte) Queue { return Queue{b: b} }

// Pop moves the first bytes to v, as many as go in, and returns how many.
func (q *Queue) Pop(v [][]byte) (n int) {
	for _, p := range v {
		k := copy(p, q.b[q.off:])
		q.drop(k)
		n += k
	}
	return n
}

func (q *Queue) drop(n int) {
	if q.off += n; q.off == len(q.b) {
		q.b, q.off = q.b[:0], 0
	}
}

// Set makes q hold what o holds, in memory of its own.
func (q *Queue) Set(o *Queue) {
	q.b, q.off = append(q.b[:0], o.b[o.off:]...), 0
}

// Total is the length of all of v, up to what one call moves.
func Total(v [][]byte) (n int) {
	for _, p := range v {
		n += len(p)
	}
	return min(n, Max)
}

// Gather copies the beginning of v to p, for the things that take so many bytes and no fewer.
func Gather(p []byte, v [][]byte) {
	for _, b := range v {
		p = p[copy(p, b):]
	}
}

// Scatter copies p to the beginning of v.
func Scatter(v [][]byte, p []byte) {
	for _, b := range v {
		p = p[copy(b, p):]
	}
}

// PushSome appends the first n bytes of v.
func (q *Queue) PushSome(v [][]byte, n int) {
	for _, b := range v {
		b = b[:min(len(b), n)]
		q.Push(b)
		n -= len(b)
	}
}
