package typo

import "strings"

// Closest returns the candidate that word was probably meant to be, or "": one edit for every third letter, so that a short word
// isn't taken for just another one.
func Closest(word string, candidates []string) string {
	return Within(len(word)/3, word, candidates)
}

// Within returns the candidate that is nearest to word and at most distance edits away, or "".
func Within(distance int, word string, candidates []string) string {
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

// editDistance is how many letters have to be added, removed, replaced or swapped with their neighbour to turn a into b (optimal
// string alignment).
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1) // rows[i][j] is the distance of a[:i] and b[:j]
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range len(b) + 1 {
		rows[0][j] = j
	}
	for i := range len(a) {
		for j := range len(b) {
			replace := rows[i][j]
			if a[i] != b[j] {
				replace++
			}
			d := min(replace, rows[i+1][j]+1, rows[i][j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, rows[i-1][j-1]+1)
			}
			rows[i+1][j+1] = d
		}
	}
	return rows[len(a)][len(b)]
}
