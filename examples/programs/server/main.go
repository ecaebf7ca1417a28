package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	saidMax  = 1000 // lines of the book
	bytesMax = 4096 // of a line
	ticksMax = 60
)

// book is what was said.
type book struct {
	mu    sync.Mutex
	lines []string
}

func main() {
	b := new(book)
	http.HandleFunc("GET /{$}", b.show)
	http.HandleFunc("POST /{$}", b.say)
	http.HandleFunc("GET /ticks", ticks)
	log.Fatal(http.ListenAndServe(":8080", nil))
}

func (b *book) show(w http.ResponseWriter, _ *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.lines {
		fmt.Fprintln(w, line)
	}
}

func (b *book) say(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bytesMax))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lines) == saidMax {
		http.Error(w, "the book is full", http.StatusInsufficientStorage)
		return
	}
	b.lines = append(b.lines, string(text))
	fmt.Fprintln(w, len(b.lines))
}

// ticks sends each line when its second has come.
func ticks(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	n, _ := strconv.Atoi(r.FormValue("n")) // 0 lines of what isn't a number
	for i := range min(n, ticksMax) {
		fmt.Fprintln(w, i+1)
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-time.After(time.Second):
		case <-r.Context().Done():
			return
		}
	}
}
