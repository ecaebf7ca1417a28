package mapper

import "net/netip"

// Key is the hash of the name that nodes are chosen for: a host or a site.
type Key uint64

// KeyOf returns the key of a name. It is the same in every process and version: changing it moves the content of every cache.
func KeyOf[S ~string | ~[]byte](name S) Key {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return Key(h)
}

func keyOfPrefix(p netip.Prefix) Key {
	raw := p.Addr().As16()
	return KeyOf(raw[:]) ^ Key(p.Bits())<<56
}

// mix returns the rendezvous weight of a node for a key. FNV alone leaves the high bits of short names alike; the finalizer
// spreads every input bit over all output bits.
func mix(key, seed uint64) uint64 {
	h := key ^ seed*0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
