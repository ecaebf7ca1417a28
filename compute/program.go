package compute

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/wherry/wherry/vmm/backend"
	"github.com/wherry/wherry/vmm/linux/file"
)

// Isolation says after what an instance is taken back to its snapshot.
type Isolation string

// The isolations.
const (
	PerRequest    Isolation = "request"    // each request finds the memory as at the deployment
	PerConnection Isolation = "connection" // requests of one Connection find what those before them left, and nobody else does
	PerInstance   Isolation = "instance"   // requests find what those before them left, until the instance is let go
)

// Program is what is deployed.
type Program struct {
	Name   string // by which it is asked
	Tenant string // who shares with others; the name when empty
	Image  []byte // a static ELF program for x86-64 Linux, or an archive that has one and its files (vmm/rootfs)

	// Executable is where the program is in an archive. When empty it is /program, or the only one.
	Executable string

	Args      []string
	Env       []string // NAME=value
	Secrets   []string // names in Env whose values aren't shown where what the program writes is
	Isolation Isolation
	Machine   backend.Kind // auto when empty: the one of the Host's that costs less
	Listen    int          // the TCP port of a server; when 0, the first that the program listens on, if it doesn't read standard input before
	Memory    int64        // bytes that an instance may use; 128 MiB when 0
	Limits    Limits
}

// Limits bound one request, but for Concurrency. Zero is the default.
type Limits struct {
	CPU         time.Duration // of the thread that runs it, on KVM; ten times as much in the emulator: "cpu". 50 ms
	Wall        time.Duration // from the worker's beginning: "wall". 10 s
	Input       int64         // bytes of the request, header section and body: "input". 1 MiB
	Output      int64         // bytes that the program writes, to standard error, too: "output". 4 MiB
	Concurrency int           // requests that it answers at the same time: others wait. 16
	Idle        time.Duration // for which a connection that was upgraded may be silent: "idle". 1 minute
	Subrequests int           // that the program may make at the gate while it answers: 429 beyond, and "subrequests". 32; -1 is none
}

// The defaults of a Program.
const (
	memoryDefault      = 128 << 20
	cpuDefault         = 50 * time.Millisecond
	wallDefault        = 10 * time.Second
	inputDefault       = 1 << 20
	outputDefault      = 4 << 20
	concurrencyDefault = 16
	silenceDefault     = time.Minute
	subrequestsDefault = 32
)

// Bounds of what a Program may ask for.
const (
	nameMax   = 128
	memoryMax = 4 << 30
	bytesMax  = 64 << 20 // of input, and of output
	wallMax   = 10 * time.Minute
	portMax   = 1<<16 - 1

	silenceMax     = 24 * time.Hour
	subrequestsMax = 10_000
)

// checked is p with its defaults, or what is wrong with it.
func (p Program) checked() (Program, error) {
	p.Tenant = cmp.Or(p.Tenant, p.Name)
	p.Isolation = cmp.Or(p.Isolation, PerRequest)
	p.Memory = cmp.Or(p.Memory, memoryDefault)
	_, kindErr := backend.ParseKind(string(p.Machine))
	l := &p.Limits
	l.CPU, l.Wall = cmp.Or(l.CPU, cpuDefault), cmp.Or(l.Wall, wallDefault)
	l.Input, l.Output = cmp.Or(l.Input, inputDefault), cmp.Or(l.Output, outputDefault)
	l.Concurrency, l.Idle, l.Subrequests = cmp.Or(l.Concurrency, concurrencyDefault), cmp.Or(l.Idle, silenceDefault), cmp.Or(l.Subrequests, subrequestsDefault)
	switch {
	case p.Name == "" || len(p.Name) > nameMax || len(p.Tenant) > nameMax:
		return p, fmt.Errorf("a program's name has 1 to %d bytes, its tenant's at most as many", nameMax)
	case p.Isolation != PerRequest && p.Isolation != PerConnection && p.Isolation != PerInstance:
		return p, fmt.Errorf("isolation by %q; use request, connection or instance", p.Isolation)
	case kindErr != nil:
		return p, kindErr
	case p.Listen < 0 || p.Listen > portMax:
		return p, fmt.Errorf("it listens on port %d; give 1 to %d, or 0 for the first that it opens", p.Listen, portMax)
	case p.Memory < 0 || p.Memory > memoryMax:
		return p, fmt.Errorf("memory of %d bytes; give it up to %d", p.Memory, int64(memoryMax))
	case min(l.CPU, l.Wall, l.Idle) < 0 || max(l.CPU, l.Wall) > wallMax || l.Idle > silenceMax:
		return p, fmt.Errorf("limits of %v of CPU, %v, and %v of silence; give them up to %v, silence up to %v", l.CPU, l.Wall, l.Idle, wallMax, silenceMax)
	case l.Input < 0 || l.Output < 0 || l.Input > bytesMax || l.Output > bytesMax:
		return p, fmt.Errorf("limits of %d bytes of input and %d of output; give them up to %d", l.Input, l.Output, bytesMax)
	case l.Concurrency < 0:
		return p, fmt.Errorf("a concurrency of %d; give it 1 or more", l.Concurrency)
	case l.Subrequests < -1 || l.Subrequests > subrequestsMax:
		return p, fmt.Errorf("a limit of %d subrequests; give it 1 to %d, or -1 for none", l.Subrequests, subrequestsMax)
	}
	return p, nil
}

// decided reports whether p says which machine it runs on.
func (p Program) decided() bool { return p.Machine != "" && p.Machine != backend.Auto }

// hash is the same for programs that behave the same.
func (p Program) hash() string {
	h := sha256.New()
	image := sha256.Sum256(p.Image)
	p.Image = image[:]
	// A Program has nothing that JSON can't say, and a hash takes all.
	_ = json.NewEncoder(h).Encode(p)
	return hex.EncodeToString(h.Sum(nil))
}

// arguments are argv.
func (p Program) arguments() []string {
	if len(p.Args) > 0 {
		return p.Args
	}
	return []string{cmp.Or(p.Executable, p.Name)}
}

// environment is Env, in which a Go program whose memory is thrown away collects no garbage unless it is told to, and HTTP libraries find the gate, if there is one.
func (p Program) environment(gate bool) []string {
	given := func(names ...string) bool {
		return slices.ContainsFunc(p.Env, func(e string) bool {
			name, _, _ := strings.Cut(e, "=")
			return slices.Contains(names, name)
		})
	}
	env := slices.Clip(p.Env)
	if p.Isolation == PerRequest && !given("GOGC") {
		env = append(env, "GOGC=off")
	}
	if gate && p.Limits.Subrequests > 0 && !given("HTTP_PROXY", "http_proxy") {
		const proxy = "http://" + file.GateAddress
		env = append(env, "HTTP_PROXY="+proxy, "http_proxy="+proxy)
	}
	return env
}
