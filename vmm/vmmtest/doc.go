// Package vmmtest holds what every vmm.Machine promises, as tests that each back end's own tests run. It is a chamber of vmm for tests only.
//
// Guests are a few bytes of machine code in a Guest: memory from 0 on, page tables, code and data. What a back end has more to promise (that a budget of
// instructions is exact, what time a budget of CPU time takes) it says in tests of its own. Differ runs two machines side by side.
//
// It starts goroutines in tests only, and waits for them.
package vmmtest
