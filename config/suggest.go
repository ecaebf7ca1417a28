package config

import (
	"fmt"
	"strconv"
	"strings"
)

// closest returns the candidate that word was probably meant to be, or "".
func closest(word string, candidates []string) string {
	return within(len(word)/3+1, word, candidates)
}

// within returns the candidate that is nearest to word and at most distance edits away, or "".
func within(distance int, word string, candidates []string) string {
	const longest = 64 // comparing takes the product of the lengths
	if len(word) > longest {
		return ""
	}
	best := ""
	for _, c := range candidates {
		if plain(c) == plain(word) {
			return c
		}
		if d := editDistance(word, c); d < distance || d == distance && best == "" {
			best, distance = c, d
		}
	}
	return best
}

// plain takes away what people vary: headerSize, header-size and HEADER_SIZE are one.
func plain(word string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(word))
}

// editDistance is how many letters have to be added, removed or replaced to turn a into b (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal = row[j+1]
			row[j+1] = min(replace, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// quoted returns a value from the file as it may stand in a message: bounded and on one line.
func quoted(value string) string {
	const longest = 64
	if r := []rune(value); len(r) > longest {
		value = string(r[:longest]) + "…"
	}
	return strconv.Quote(value)
}

// either lists words as `a, b or c`.
func either(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return fmt.Sprintf("%s or %s", strings.Join(words[:last], ", "), words[last])
}
