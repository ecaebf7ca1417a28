// Package treetest is a control that signs and keepers that keep in memory, for tests and measurements of the tree without a disk and
// without a store.
//
// A Keeper verifies all that a node's keeper must verify: signatures, the order, the hash of the entry before. It starts no goroutines.
package treetest
