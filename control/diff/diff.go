package diff

import (
	"fmt"
	"strings"
)

const (
	contextLines = 3
	// effortMax bounds the search, in pairs of lines that differ; beyond it the texts are shown as wholly different.
	effortMax = 4 << 20
)

// Unified returns how after differs from before, or the empty string.
func Unified(beforeName, afterName, before, after string) string {
	if before == after {
		return ""
	}
	a, b := split(before), split(after)
	edits := align(a, b)
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", beforeName, afterName)
	for i := 0; i < len(edits); {
		if edits[i].kind == ' ' {
			i++
			continue
		}
		begin, end := max(0, i-contextLines), i
		for same := 0; end < len(edits) && same <= 2*contextLines; end++ {
			if same++; edits[end].kind != ' ' {
				same = 0
			}
		}
		for end > i && edits[end-1].kind == ' ' {
			end--
		}
		end = min(len(edits), end+contextLines)
		hunk(&out, edits[begin:end])
		i = end
	}
	return out.String()
}

// edit is one line of the alignment: in both texts (' '), in the first ('-') or in the second ('+').
type edit struct {
	kind byte
	text string
	a, b int // how many lines of each come before it
}

func hunk(out *strings.Builder, edits []edit) {
	var fromA, fromB int
	for _, e := range edits {
		if e.kind != '+' {
			fromA++
		}
		if e.kind != '-' {
			fromB++
		}
	}
	first := edits[0]
	fmt.Fprintf(out, "@@ -%s +%s @@\n", place(first.a, fromA), place(first.b, fromB))
	for _, e := range edits {
		out.WriteByte(e.kind)
		out.WriteString(e.text)
		out.WriteByte('\n')
	}
}

func place(before, n int) string {
	if n == 0 {
		return fmt.Sprintf("%d,0", before)
	}
	return fmt.Sprintf("%d,%d", before+1, n)
}

func split(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// align finds a longest common subsequence of what differs between the common ends.
func align(a, b []string) []edit {
	front := 0
	for front < len(a) && front < len(b) && a[front] == b[front] {
		front++
	}
	back := 0
	for back < len(a)-front && back < len(b)-front && a[len(a)-1-back] == b[len(b)-1-back] {
		back++
	}
	var edits []edit
	x, y := 0, 0
	add := func(kind byte, text string) {
		edits = append(edits, edit{kind, text, x, y})
		if kind != '+' {
			x++
		}
		if kind != '-' {
			y++
		}
	}
	for _, line := range a[:front] {
		add(' ', line)
	}
	middle(a[front:len(a)-back], b[front:len(b)-back], add)
	for _, line := range a[len(a)-back:] {
		add(' ', line)
	}
	return edits
}

func middle(a, b []string, add func(byte, string)) {
	n, m := len(a), len(b)
	if n*m > effortMax {
		for _, line := range a {
			add('-', line)
		}
		for _, line := range b {
			add('+', line)
		}
		return
	}
	common := make([][]int32, n+1) // common[i][j]: of a[i:] and b[j:]
	for i := range common {
		common[i] = make([]int32, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	for i, j := 0, 0; i < n || j < m; {
		switch {
		case i < n && j < m && a[i] == b[j]:
			add(' ', a[i])
			i, j = i+1, j+1
		case j == m || i < n && common[i+1][j] >= common[i][j+1]:
			add('-', a[i])
			i++
		default:
			add('+', b[j])
			j++
		}
	}
}
