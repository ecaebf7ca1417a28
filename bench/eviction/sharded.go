package main

// sharded spreads the objects over caches of their own.
type sharded []policy

func newSharded(n int, make func(sizes []int64, limit int64) policy) func(sizes []int64, limit int64) policy {
	return func(sizes []int64, limit int64) policy {
		var s sharded
		for range n {
			s = append(s, make(sizes, limit/int64(n)))
		}
		return s
	}
}

func (s sharded) request(o int32) bool {
	return s[uint64(o)*0x9E3779B97F4A7C15>>32%uint64(len(s))].request(o)
}
