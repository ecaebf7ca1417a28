package confine

import "strings"

// Options say who the process becomes.
type Options struct {
	UID, GID int  // for a process of root; 65534 when 0
	Own      bool // it has namespaces of its own: Start's result
	Why      string
}

// nobody is the user and the group that own no files.
const nobody = 65534

// Measure is one that was taken, or not.
type Measure struct {
	Name string `json:"name"` // user, files, network, processes, privileges, system calls
	Done bool   `json:"done"`
	Text string `json:"text"` // how, or why not
}

// Report is what was done.
type Report []Measure

// String is one line.
func (r Report) String() string {
	parts := make([]string, 0, len(r))
	for _, m := range r {
		text := m.Name + ": " + m.Text
		if !m.Done {
			text = m.Name + ": NOT confined, " + m.Text
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// Whole reports whether all measures were taken.
func (r Report) Whole() bool {
	for _, m := range r {
		if !m.Done {
			return false
		}
	}
	return len(r) > 0
}

func (r *Report) add(name, text string, err error) {
	m := Measure{Name: name, Done: err == nil, Text: text}
	if err != nil {
		m.Text = err.Error()
	}
	*r = append(*r, m)
}
