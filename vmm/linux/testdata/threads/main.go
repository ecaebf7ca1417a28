// threads is what breaks when a scheduler of threads is wrong: goroutines on several threads, channels, maps, collections, timers, preemption by
// signals and panics from faults. Its output is the same each time.
package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

type record struct {
	ID    int               `json:"id"`
	Name  string            `json:"name"`
	Tags  map[string]string `json:"tags"`
	Parts []*record         `json:"parts,omitempty"`
}

func build(depth, id int) *record {
	r := &record{ID: id, Name: "record " + strconv.Itoa(id), Tags: map[string]string{}}
	for i := range 5 {
		r.Tags["tag"+strconv.Itoa(i)] = strconv.Itoa(id * i)
	}
	if depth > 0 {
		for i := range 3 {
			r.Parts = append(r.Parts, build(depth-1, id*3+i))
		}
	}
	return r
}

func work(id, rounds int) [32]byte {
	var sum [32]byte
	for i := range rounds {
		b, err := json.Marshal(build(2, id+i))
		if err != nil {
			panic(err)
		}
		var r record
		if err := json.Unmarshal(b, &r); err != nil {
			panic(err)
		}
		m := map[int][]byte{}
		for k := range 64 {
			m[k*k] = append([]byte(nil), b[:k]...)
		}
		h := sha256.New()
		h.Write(sum[:])
		h.Write(b)
		for k := range 64 {
			h.Write(m[k*k])
		}
		h.Sum(sum[:0])
	}
	return sum
}

func fault() (said string) {
	defer func() { said = fmt.Sprint(recover()) }()
	var r *record
	return r.Name
}

func main() {
	rounds := 10
	if len(os.Args) > 1 {
		rounds, _ = strconv.Atoi(os.Args[1])
	}
	runtime.GOMAXPROCS(4)
	debug.SetGCPercent(20)
	const workers = 8
	type answer struct {
		id  int
		sum [32]byte
	}
	answers := make(chan answer)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var turns atomic.Int64
	shared := map[string]int{}
	for id := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range rounds * 20 {
				mu.Lock()
				shared["key"+strconv.Itoa(i%37)]++
				mu.Unlock()
				turns.Add(1)
				if i%16 == 0 {
					runtime.Gosched()
				}
			}
			if id%3 == 0 {
				time.Sleep(time.Millisecond)
			}
			answers <- answer{id, work(id, rounds)}
		}()
	}
	var spun atomic.Int64
	stop := make(chan struct{})
	for range 2 {
		go func() { // is preempted by signals alone
			for {
				select {
				case <-stop:
					return
				default:
					for i := range 100000 {
						spun.Add(int64(i & 1))
					}
				}
			}
		}()
	}
	go func() { wg.Wait(); close(answers) }()
	var all []string
	for a := range answers {
		all = append(all, fmt.Sprintf("%d %x", a.id, a.sum[:8]))
		if len(all)%3 == 0 {
			debug.FreeOSMemory() // a collection, and all free memory to MADV_DONTNEED
		}
	}
	close(stop)
	sort.Strings(all)
	for _, s := range all {
		fmt.Println(s)
	}
	total := 0
	for _, n := range shared {
		total += n
	}
	fmt.Println(total, turns.Load(), len(shared))
	fmt.Println(fault())
}
