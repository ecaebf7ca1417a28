package main

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/wherry/wherry/cache/store"
)

// memory is store.Memory as a policy.
type memory struct {
	store    *store.Memory
	limit    int64
	sizes    []int64
	overhead int64 // what a response without a size is charged
}

// padding is where the responses have their bytes from: a field's value is charged its length, whoever else has it.
var padding = strings.Repeat("x", sizeMax)

func newMemory(sizes []int64, limit int64) policy {
	m := &memory{mustMemory(limit), limit, sizes, 0}
	scratch := mustMemory(sizeMax)
	scratch.Insert(m.response(0, 0))
	m.overhead = scratch.Usage().Bytes
	return m
}

func mustMemory(limit int64) *store.Memory {
	m, err := store.NewMemory(limit, limit)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return m
}

// key has the same length for all objects, so that the overhead is the same too.
func (m *memory) key(o int32) store.Key { return store.Key(strconv.Itoa(1_000_000_000 + int(o))) }

func (m *memory) response(o int32, size int64) *store.Response {
	return &store.Response{Key: m.key(o), Status: http.StatusOK, Header: http.Header{"X": {padding[:size]}}}
}

func (m *memory) request(o int32) bool {
	if len(m.store.Lookup(m.key(o))) > 0 {
		return true
	}
	if m.sizes[o] <= m.limit {
		m.store.Insert(m.response(o, m.sizes[o]-m.overhead))
	}
	return false
}
