// clock reads the time in a loop, and says when it began and ended and how long it took. With a second argument so many threads read it in turns. If the time
// ever goes back it says so.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// last is what any thread has read.
var last struct {
	sync.Mutex
	time.Time
}

func look() {
	last.Lock()
	defer last.Unlock()
	now := time.Now()
	if now.Sub(last.Time) < 0 || now.UnixNano() < last.UnixNano() {
		fmt.Println("back by", last.Sub(now))
		os.Exit(1)
	}
	last.Time = now
}

func main() {
	n, _ := strconv.Atoi(os.Args[1])
	threads := 1
	if len(os.Args) > 2 {
		threads, _ = strconv.Atoi(os.Args[2])
	}
	begin := time.Now()
	last.Time = begin
	var wg sync.WaitGroup
	for range threads {
		wg.Go(func() {
			runtime.LockOSThread()
			mine := begin
			for range n {
				look()
				now := time.Now()
				if now.Before(mine) {
					fmt.Println("back by", mine.Sub(now))
					os.Exit(1)
				}
				mine = now
			}
		})
	}
	wg.Wait()
	fmt.Println(begin.UnixNano(), last.UnixNano(), int64(last.Sub(begin)))
}
