package portal

import (
	"net/http"
	"time"
)

// Program is a program of this node, and what it did since it was deployed first.
type Program struct {
	Name      string        `json:"name"`
	Tenant    string        `json:"tenant"`
	Image     string        `json:"image"`   // sha256:HEX
	From      string        `json:"from"`    // as the configuration names it
	Machine   string        `json:"machine"` // kvm or emulator
	Isolation string        `json:"isolation"`
	Variables []string      `json:"variables,omitempty"` // names of its environment
	Secrets   []string      `json:"secrets,omitempty"`   // names of those beside that nobody is shown
	Limits    ProgramLimits `json:"limits"`

	Boot          time.Duration `json:"boot_ns"`        // CPU time from the file to the first read of input
	Start         time.Duration `json:"start_ns"`       // CPU time of an instance's start from the snapshot
	SnapshotBytes int64         `json:"snapshot_bytes"` // that the snapshot takes, with the archive of its files
	Files         int           `json:"files"`          // that it sees beside those of the system
	FileBytes     int64         `json:"file_bytes"`     // in them

	Calls       uint64            `json:"calls"`
	Errors      map[string]uint64 `json:"errors,omitempty"` // by the limit that was passed, or what else went wrong
	CPU         time.Duration     `json:"cpu_ns"`           // of calls
	Resets      uint64            `json:"resets"`
	DirtyPages  uint64            `json:"dirty_pages"`
	Faults      uint64            `json:"faults"`
	Exits       map[string]uint64 `json:"exits,omitempty"` // by kind
	ColdStarts  uint64            `json:"cold_starts"`
	Evictions   uint64            `json:"evictions"`
	Ready       int               `json:"ready"` // instances
	Busy        int               `json:"busy"`
	MemoryBytes int64             `json:"memory_bytes"` // charged: the snapshot and the instances

	Confinement     string `json:"confinement"`      // how the monitor, which runs all programs, is kept from everything else
	MonitorRestarts uint64 `json:"monitor_restarts"` // after it had ended
}

// ProgramLimits are what one request may use, and Memory one instance.
type ProgramLimits struct {
	CPU         time.Duration `json:"cpu_ns"`
	Wall        time.Duration `json:"wall_ns"`
	Memory      int64         `json:"memory_bytes"`
	Input       int64         `json:"input_bytes"`
	Output      int64         `json:"output_bytes"`
	Concurrency int           `json:"concurrency"`
	Subrequests int           `json:"subrequests"`
	Idle        time.Duration `json:"idle_ns"`
}

// Failed is how many calls failed, for whatever reason.
func (p Program) Failed() (n uint64) {
	for _, k := range p.Errors {
		n += k
	}
	return n
}

// CallCPU is what a call takes on average.
func (p Program) CallCPU() time.Duration {
	return (p.CPU / time.Duration(max(p.Calls, 1))).Round(time.Microsecond)
}

// Memory and Snapshot are sizes for the page.
func (p Program) Memory() uint64   { return uint64(max(p.MemoryBytes, 0)) }
func (p Program) Snapshot() uint64 { return uint64(max(p.SnapshotBytes, 0)) }

// ProgramLine is a line that a program wrote to standard error.
type ProgramLine struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

func (p *Portal) getProgramLog(w http.ResponseWriter, r *http.Request) *problem {
	lines, ok := p.network.ProgramLog(r.PathValue("name"))
	if !ok {
		return newProblem(http.StatusNotFound, "There is no program "+r.PathValue("name")+" on this node.", "Look at /api/status for those that there are.")
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	writeJSON(w, orEmpty(lines))
	return nil
}
