package kv

import (
	"strings"
	"time"
)

// What keys, values and what is said of them may have at most.
const (
	KeyMax       = 512       // bytes of a key
	ValueMax     = 64 << 10  // bytes of a value
	NamespaceMax = 128       // bytes of a namespace's name
	BatchMax     = 256 << 10 // bytes of a batch, encoded
	originMax    = 300       // bytes of an origin: a node's name and a random number
	originsMax   = 65_536    // origins that are remembered
	ttlMax       = 10 * 365 * 24 * time.Hour
	counterMax   = 20   // digits of a counter, and its sign
	listMax      = 1000 // keys of one answer
	listDefault  = 100
	// entryBytes is what a key costs in memory beside its bytes.
	entryBytes = 160
	// originFor is how long an origin that sends nothing is remembered, so that what it repeats is known.
	originFor = 90 * 24 * time.Hour
)

// Limits are what a Store lets programs have. Zero means the default.
type Limits struct {
	Bytes      int64            // of the keys and values of a namespace, 16 MiB
	Keys       int              // of a namespace, 100,000
	Quotas     map[string]Quota // of some namespaces instead
	Node       int64            // bytes of memory of all namespaces, 256 MiB; programs are refused at 7/8 of it, see machine.order
	Namespaces int              // 10,000
	Rate       float64
	Burst      int   // writes to a namespace: 200 a second, 400 at once
	Outbox     int64 // bytes of writes that control hasn't ordered, 4 MiB
}

// Quota is what a namespace may have. Zero means what all may.
type Quota struct {
	Bytes int64
	Keys  int
}

// of returns the quota of a namespace.
func (l *Limits) of(namespace string) Quota {
	q := l.Quotas[namespace]
	def(&q.Bytes, l.Bytes)
	def(&q.Keys, l.Keys)
	return q
}

func (l Limits) withDefaults() Limits {
	def(&l.Bytes, 16<<20)
	def(&l.Keys, 100_000)
	def(&l.Node, 256<<20)
	def(&l.Namespaces, 10_000)
	def(&l.Rate, 200)
	def(&l.Burst, 400)
	def(&l.Outbox, 4<<20)
	return l
}

func def[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// goodKey says whether a key may be one: 1 to KeyMax bytes without NUL.
func goodKey(key string) bool {
	return key != "" && len(key) <= KeyMax && strings.IndexByte(key, 0) < 0
}

func goodNamespace(name string) bool {
	return name != "" && len(name) <= NamespaceMax && strings.IndexByte(name, 0) < 0
}
