// Command json KIND ROUNDS encodes, decodes, sorts or sums what a web service does, and prints a sum of it.
package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"
)

type order struct {
	ID    int               `json:"id"`
	Name  string            `json:"name"`
	Price float64           `json:"price"`
	Tags  []string          `json:"tags"`
	Attrs map[string]string `json:"attrs"`
}

func main() {
	if len(os.Args) != 3 {
		fail()
	}
	rounds, err := strconv.Atoi(os.Args[2])
	if err != nil || rounds < 1 {
		fail()
	}
	switch os.Args[1] {
	case "json":
		fmt.Printf("%x\n", jsons(rounds))
	case "sha256":
		fmt.Printf("%x\n", hashes(rounds))
	case "map":
		fmt.Printf("%x\n", maps(rounds))
	default:
		fail()
	}
}

func fail() {
	fmt.Fprintln(os.Stderr, "usage: json json|sha256|map ROUNDS")
	os.Exit(2)
}

func jsons(rounds int) (sum uint64) {
	in := order{7, "a book about rivers", 19.99, []string{"paper", "new", "river"}, map[string]string{"isbn": "978-3-16-148410-0", "lang": "en"}}
	for i := range rounds * 1000 {
		in.ID = i
		text, err := json.Marshal(in)
		if err != nil {
			panic(err)
		}
		var out order
		if err := json.Unmarshal(text, &out); err != nil {
			panic(err)
		}
		sum += uint64(out.ID + len(text))
	}
	return sum
}

func hashes(rounds int) (sum uint64) {
	block := make([]byte, 1<<16)
	for range rounds * 16 {
		h := sha256.Sum256(block)
		copy(block, h[:])
		sum += binary.LittleEndian.Uint64(h[:])
	}
	return sum
}

func maps(rounds int) (sum uint64) {
	for r := range rounds {
		words := map[string]int{}
		for i := range 10000 {
			words["key-"+strconv.Itoa(i*7919%5003+r)] += i
		}
		keys := make([]string, 0, len(words))
		for k := range words {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for i, k := range keys {
			sum += uint64(i * words[k] % 1009)
		}
	}
	return sum
}
