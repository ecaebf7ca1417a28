// Command counter answers each line that it reads with how many it has seen, by each means that a program has to remember: a variable, the heap,
// a goroutine, a file and random bytes.
package main

import (
	"bufio"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
)

func main() {
	heap := make(map[int]string, 1000)
	for i := range 1000 {
		heap[i] = strings.Repeat("x", i)
	}
	asked, told := make(chan int), make(chan int)
	go func() {
		n := 0
		for d := range asked {
			n += d
			told <- n
		}
	}()
	if err := os.WriteFile("/tmp/seen", nil, 0o600); err != nil {
		panic(err)
	}
	lines := bufio.NewReader(os.Stdin)
	for n := 1; ; n++ {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		switch line {
		case "loop":
			for {
			}
		case "grow":
			var all [][]byte
			for {
				all = append(all, make([]byte, 1<<20))
				for i := range all[len(all)-1] {
					all[len(all)-1][i] = byte(len(all))
				}
			}
		case "crash":
			panic("as asked")
		case "babble":
			for {
				fmt.Println(strings.Repeat("bla ", 100))
			}
		}
		heap[n] += line
		asked <- 1
		f, err := os.OpenFile("/tmp/seen", os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			panic(err)
		}
		fmt.Fprint(f, ".")
		f.Close()
		seen, err := os.ReadFile("/tmp/seen")
		if err != nil {
			panic(err)
		}
		var random [4]byte
		rand.Read(random[:])
		fmt.Printf("%s %d %d %d %d %x\n", line, n, len(heap[n]), <-told, len(seen), random)
	}
}
