package store_test

import (
	"testing"

	"github.com/wherry/wherry/cache/store"
	"github.com/wherry/wherry/cache/storetest"
)

func TestMemoryContract(t *testing.T) {
	storetest.Run(t, storetest.Subject{Open: func(t testing.TB, bytesMax, objectMax int64) store.Store {
		m, err := store.NewMemory(bytesMax, objectMax)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}})
}
