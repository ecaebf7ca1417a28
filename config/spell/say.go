package spell

import (
	"fmt"
	"strconv"
	"strings"
)

// Quoted returns a value from the file as it may stand in a message: bounded and on one line.
func Quoted(value string) string {
	const longest = 64
	if r := []rune(value); len(r) > longest {
		value = string(r[:longest]) + "…"
	}
	return strconv.Quote(value)
}

// Either lists words as `a, b or c`.
func Either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return fmt.Sprintf("%s or %s", strings.Join(words[:last], ", "), words[last])
}

// WrongFile says whether a text can't be the path of a file.
func WrongFile(path string) bool {
	return strings.TrimSpace(path) == "" || strings.ContainsAny(path, "\x00\n")
}
