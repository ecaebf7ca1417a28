package trace

import "sync"

// Report is a finished trace with what it is of; the operator's API hands it out as JSON.
type Report struct {
	ID      string `json:"id"`
	Node    string `json:"node"`
	Site    string `json:"site,omitempty"`
	Method  string `json:"method"`
	URL     string `json:"url"`
	Status  int    `json:"status"`
	Steps   []Step `json:"steps"`
	Dropped int    `json:"steps_dropped,omitempty"`
}

// Shelf keeps the last reports until the operator has read them. It is safe for use by many goroutines; its reports are lost
// when the process dies.
type Shelf struct {
	mu      sync.Mutex // protects what follows
	reports [shelfSize]Report
	next    int
}

// shelfSize bounds a Shelf: an operator reads a report right after its request.
const shelfSize = 64

// Put keeps r in the place of the oldest report.
func (s *Shelf) Put(r Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports[s.next] = r
	s.next = (s.next + 1) % shelfSize
}

// Get returns the report called id.
func (s *Shelf) Get(id string) (Report, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.reports {
		if r.ID == id && id != "" {
			return r, true
		}
	}
	return Report{}, false
}
