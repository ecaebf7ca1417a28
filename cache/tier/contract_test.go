package tier

import (
	"testing"

	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/cache/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, storetest.Subject{Open: func(t testing.TB, bytesMax, objectMax int64) store.Store {
		return open(t, options{bytesMax: bytesMax, objectMax: objectMax})
	}})
}

// TestContractOnABadDisk: a disk that fails now and then loses what it has, but nothing else shows.
func TestContractOnABadDisk(t *testing.T) {
	storetest.Run(t, storetest.Subject{Fails: true, Open: func(t testing.TB, bytesMax, objectMax int64) store.Store {
		fs := &badFS{}
		w := open(t, options{bytesMax: bytesMax, objectMax: objectMax, fs: fs})
		fs.fault = sometimes(20)
		return w
	}})
}
