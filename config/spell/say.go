package spell

import "strconv"

// Quoted returns a value from the file as it may stand in a message: bounded and on one line.
func Quoted(value string) string {
	const longest = 64
	if r := []rune(value); len(r) > longest {
		value = string(r[:longest]) + "…"
	}
	return strconv.Quote(value)
}
