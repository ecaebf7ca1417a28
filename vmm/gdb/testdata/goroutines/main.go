// Goroutines sum up numbers.
package main

import (
	"fmt"
	"sync"
)

//go:noinline
func sum(n int) (s int) {
	for i := range n {
		s += i
	}
	return s
}

func main() {
	var all sync.WaitGroup
	sums := make([]int, 3)
	for i := range sums {
		all.Go(func() { sums[i] = sum(1000) })
	}
	all.Wait()
	fmt.Println(sums)
}
