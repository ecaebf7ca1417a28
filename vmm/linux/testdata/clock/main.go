// clock reads the time in a loop, and says how often, how long it took, and if it ever went back.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

func main() {
	n, _ := strconv.Atoi(os.Args[1])
	begin := time.Now()
	last := begin
	for range n {
		now := time.Now()
		if now.Sub(last) < 0 || now.UnixNano() < last.UnixNano() {
			fmt.Println("back by", last.Sub(now))
			os.Exit(1)
		}
		last = now
	}
	fmt.Println(begin.UnixNano(), last.UnixNano(), int64(last.Sub(begin)))
}
