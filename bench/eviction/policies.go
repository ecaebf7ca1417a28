package main

// policy is a cache of limited bytes.
type policy interface {
	// request asks for object o, says whether it is there, and puts it in if it isn't.
	request(o int32) bool
}

// lru drops what wasn't asked for the longest time.
type lru struct {
	limit int64
	all   queue
	in    []bool
}

func newLRU(sizes []int64, limit int64) policy {
	return &lru{limit, newLinks(sizes).queue(), make([]bool, len(sizes))}
}

func (p *lru) request(o int32) bool {
	if p.in[o] {
		p.all.remove(o)
		p.all.push(o)
		return true
	}
	if p.all.links.sizes[o] > p.limit {
		return false
	}
	p.in[o] = true
	p.all.push(o)
	for p.all.bytes > p.limit {
		victim := p.all.oldest
		p.all.remove(victim)
		p.in[victim] = false
	}
	return false
}

// sieve drops what wasn't asked for since the hand came by the last time.
type sieve struct {
	limit   int64
	all     queue
	in      []bool
	visited []bool
	hand    int32
}

func newSieve(sizes []int64, limit int64) policy {
	return &sieve{limit, newLinks(sizes).queue(), make([]bool, len(sizes)), make([]bool, len(sizes)), none}
}

func (p *sieve) request(o int32) bool {
	if p.in[o] {
		p.visited[o] = true
		return true
	}
	if p.all.links.sizes[o] > p.limit {
		return false
	}
	for p.all.bytes+p.all.links.sizes[o] > p.limit {
		p.evict()
	}
	p.in[o], p.visited[o] = true, false
	p.all.push(o)
	return false
}

func (p *sieve) evict() {
	for {
		o := p.hand
		if o == none {
			o = p.all.oldest
		}
		p.hand = p.all.links.newer[o]
		if !p.visited[o] {
			p.all.remove(o)
			p.in[o] = false
			return
		}
		p.visited[o] = false
	}
}
