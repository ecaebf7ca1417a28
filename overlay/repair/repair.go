package repair

import (
	"crypto/subtle"
	"encoding/binary"
	"slices"
)

const (
	// RowsMax bounds the rows of bytes: with more, two would have the same factor.
	RowsMax = 255
	// ParityMax bounds the rows of parity.
	ParityMax = 8
)

// The field's elements as powers of 2, and their logarithms; the polynomial is x^8+x^4+x^3+x^2+1.
var power, logarithm = tables()

func tables() (power [510]byte, logarithm [256]byte) {
	x := 1
	for i := range 255 {
		power[i], power[i+255] = byte(x), byte(x)
		logarithm[x] = byte(i)
		if x <<= 1; x > 255 {
			x ^= 0x11d
		}
	}
	return power, logarithm
}

func mul(a, b byte) byte {
	if a == 0 || b == 0 {
		return 0
	}
	return power[int(logarithm[a])+int(logarithm[b])]
}

func inverse(a byte) byte { return power[255-int(logarithm[a])] }

// Rows is how many rows of size bytes n bytes make.
func Rows(n, size int) int { return (n + size - 1) / size }

const (
	highBits = 0x8080808080808080
	lowBits  = 0x7f7f7f7f7f7f7f7f
)

// double multiplies eight elements by 2.
func double(v uint64) uint64 {
	high := v & highBits
	return v&lowBits<<1 ^ high>>7*0x1d
}

// Parity writes the parity row i of data, in rows as long as out, into out. data is read as if zeros followed it.
func Parity(out, data []byte, i int) {
	size := len(out)
	if i == 0 {
		clear(out)
		for row := range Rows(len(data), size) {
			b := data[row*size : min((row+1)*size, len(data))]
			subtle.XORBytes(out, out[:len(b)], b)
		}
		return
	}
	words := (size + 7) / 8
	sum := make([]uint64, words)
	for row := range Rows(len(data), size) {
		b := data[row*size : min((row+1)*size, len(data))]
		for w := range words {
			v := sum[w]
			for range i {
				v = double(v)
			}
			if at := 8 * w; at+8 <= len(b) {
				v ^= binary.LittleEndian.Uint64(b[at:])
			} else {
				for k := at; k < len(b); k++ {
					v ^= uint64(b[k]) << (8 * (k - at))
				}
			}
			sum[w] = v
		}
	}
	for k := range out {
		out[k] = byte(sum[k/8] >> (8 * (k % 8)))
	}
}

// Gap is missing bytes from First up to End.
type Gap struct{ First, End int }

// Row is a parity row.
type Row struct {
	Index int
	Bytes []byte
}

// Rebuild fills the gaps of data, all of which are zeros, by parity rows of one size. It says whether it could; if not, data is as it was.
func Rebuild(data []byte, gaps []Gap, parity []Row) bool {
	if len(parity) == 0 {
		return len(gaps) == 0
	}
	size := len(parity[0].Bytes)
	rows := Rows(len(data), size)
	edges := []int{0, size}
	for _, g := range gaps {
		if g.End-g.First > len(parity)*size {
			return false
		}
		edges = append(edges, g.First%size, g.End%size)
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	// In the columns between two edges the same rows are missing.
	var most int
	missing := make([][]int, len(edges)-1)
	for e := range missing {
		for _, g := range gaps {
			for row := g.First / size; row <= (g.End-1)/size; row++ {
				if at := row*size + edges[e]; at >= g.First && at < g.End {
					missing[e] = append(missing[e], row)
				}
			}
		}
		if most = max(most, len(missing[e])); most > len(parity) {
			return false
		}
	}
	left := make([][]byte, most) // of the parity rows, without what is there
	for i := range left {
		left[i] = make([]byte, size)
		Parity(left[i], data, parity[i].Index)
		for k, b := range parity[i].Bytes {
			left[i][k] ^= b
		}
	}
	type piece struct {
		at    int
		bytes []byte
	}
	var rebuilt []piece
	for e, lost := range missing {
		if len(lost) == 0 {
			continue
		}
		from, to := edges[e], edges[e+1]
		found := solve(lost, rows, parity, left, from, to)
		if found == nil {
			return false
		}
		for j, row := range lost {
			at := row*size + from
			if at < len(data) {
				rebuilt = append(rebuilt, piece{at, found[j][:min(to-from, len(data)-at)]})
			}
		}
	}
	for _, p := range rebuilt {
		copy(data[p.at:], p.bytes)
	}
	return true
}

// solve finds the columns from..to of the rows that are lost (Gauss); nil if these parity rows don't tell them apart.
func solve(lost []int, rows int, parity []Row, left [][]byte, from, to int) [][]byte {
	n := len(lost)
	matrix, right := make([][]byte, n), make([][]byte, n)
	for i := range n {
		matrix[i] = make([]byte, n)
		for j, row := range lost {
			matrix[i][j] = power[parity[i].Index*(rows-1-row)%255]
		}
		right[i] = slices.Clone(left[i][from:to])
	}
	for c := range n {
		pivot := c
		for pivot < n && matrix[pivot][c] == 0 {
			pivot++
		}
		if pivot == n {
			return nil
		}
		matrix[c], matrix[pivot] = matrix[pivot], matrix[c]
		right[c], right[pivot] = right[pivot], right[c]
		f := inverse(matrix[c][c])
		addTimes(matrix[c], matrix[c], f^1) // times f
		addTimes(right[c], right[c], f^1)
		for i := range n {
			if f := matrix[i][c]; i != c && f != 0 {
				addTimes(matrix[i], matrix[c], f)
				addTimes(right[i], right[c], f)
			}
		}
	}
	return right
}

// addTimes adds f times b to a.
func addTimes(a, b []byte, f byte) {
	for k := range a {
		a[k] ^= mul(b[k], f)
	}
}
