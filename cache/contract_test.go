package cache_test

import (
	"testing"

	"github.com/wherry/wherry/cache"
	"github.com/wherry/wherry/cache/storetest"
)

func TestMemoryContract(t *testing.T) {
	storetest.Run(t, storetest.Subject{Open: func(t testing.TB, bytesMax, objectMax int64) cache.Store {
		m, err := cache.NewMemory(bytesMax, objectMax)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}})
}
