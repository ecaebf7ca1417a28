package apart

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/wherry/wherry/compute"
	"github.com/wherry/wherry/compute/apart/wire"
	"github.com/wherry/wherry/internal/confine"
	"github.com/wherry/wherry/vmm/backend"
)

// What a stream's head begins with.
const (
	verbRequest = 'r' // wire.Request behind it
	verbPrepare = 'p' // programs as the body; then a byte of those below
	verbRestore = 's' // programs as the body
	verbMetrics = 'm'
	verbAsk     = 'a' // from the monitor: the number of the stream whose call asks, 8 bytes, and wire.Request
)

// What is said after programs have been prepared.
const (
	sayCommit    = 'c'
	sayDrop      = 'd'
	sayInstalled = 'i' // by the monitor: the new versions answer
	sayAsked     = 'a' // nobody asks for those any more that go
)

// What is told.
const (
	topicHello  = 1 + iota // by the monitor, once: hello
	topicSaid              // by the monitor: saying
	topicLog               // by the monitor: a line of slog.JSONHandler's
	topicClosed            // by the edge: a connection's number, 8 bytes
)

// hello is how the monitor is.
type hello struct {
	Machine backend.Host   `json:"machine"`
	Report  confine.Report `json:"confinement"`
}

// saying is what a program has written to standard error.
type saying struct {
	Program string `json:"program"`
	Text    string `json:"text"`
}

// startup is what the monitor finds in its environment.
type startup struct {
	Machine backend.Kind    `json:"machine"`
	Memory  int64           `json:"memory"`
	Most    int             `json:"instances"`
	Idle    int64           `json:"idle_ns"`
	Workers int             `json:"workers"`
	Gate    bool            `json:"gate"` // the edge answers what programs ask
	Confine confine.Options `json:"confine"`
}

const (
	imageMax  = 256 << 20 // of one program
	textMax   = 64 << 20  // of what is said in JSON
	imagesMax = 4 << 30   // of all programs
)

// writeText writes v, its length before it.
func writeText(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...))
	return err
}

// readText reads what writeText has written.
func readText(r io.Reader, v any) error {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint32(length[:])
	if n > textMax {
		return fmt.Errorf("%d bytes of text; %d are taken", n, textMax)
	}
	text, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(text) < int(n) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, v)
}

// shipment are programs on their way, and the names of those that the monitor has and keeps.
type shipment struct {
	Programs []shipped `json:"programs"`
	Kept     []string  `json:"kept,omitempty"`
}

// shipped is a program without its image, which comes behind all of them.
type shipped struct {
	Program compute.Program `json:"program"`
	Image   int64           `json:"image"` // bytes
}

func writePrograms(w io.Writer, all []compute.Program, kept []string) error {
	s := shipment{make([]shipped, len(all)), kept}
	for i, p := range all {
		s.Programs[i] = shipped{p, int64(len(p.Image))}
		s.Programs[i].Program.Image = nil
	}
	if err := writeText(w, s); err != nil {
		return err
	}
	for i := range all {
		if _, err := w.Write(all[i].Image); err != nil {
			return err
		}
	}
	return nil
}

func readPrograms(r io.Reader) (all []compute.Program, kept []string, err error) {
	var s shipment
	if err := readText(r, &s); err != nil {
		return nil, nil, err
	}
	images := int64(0)
	for _, p := range s.Programs {
		images += p.Image
		if p.Image < 0 || p.Image > imageMax || images > imagesMax {
			return nil, nil, fmt.Errorf("an image of %d bytes", p.Image)
		}
		p.Program.Image = make([]byte, p.Image)
		if _, err := io.ReadFull(r, p.Program.Image); err != nil {
			return nil, nil, err
		}
		all = append(all, p.Program)
	}
	return all, s.Kept, nil
}

// prepared is what became of programs.
type prepared struct {
	Reports map[string]compute.Report `json:"reports,omitempty"`
	Refused []refusal                 `json:"refused,omitempty"`
	Error   string                    `json:"error,omitempty"` // that isn't a program's
}

// refusal is a *compute.DeployError on its way.
type refusal struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// refuse adds err's reasons.
func (p *prepared) refuse(err error) {
	if d, ok := err.(*compute.DeployError); ok {
		p.Refused = append(p.Refused, refusal{d.Name, wire.Cut(d.Err.Error())})
	} else if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			p.refuse(one)
		}
	} else if err != nil {
		p.Error = wire.Cut(err.Error())
	}
}

// err is what refuse was given.
func (p *prepared) err() error {
	var errs []error
	for _, r := range p.Refused {
		errs = append(errs, &compute.DeployError{Name: r.Name, Err: errors.New(r.Text)})
	}
	if p.Error != "" {
		errs = append(errs, errors.New(p.Error))
	}
	return errors.Join(errs...)
}
