// Package doors opens the listeners of a process, and says what to do about one that can't be opened.
//
// It stands beside the house: cmd/wherry and internal/node open their doors with it. It starts no goroutines.
package doors
