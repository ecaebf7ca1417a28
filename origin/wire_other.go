//go:build !unix

package origin

// nothingToRead can't be told here; a request that finds its connection closed is sent again.
func nothingToRead(uintptr) bool { return true }
