package mesh

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"time"
)

// ticketsMax bounds the tickets of other nodes; the oldest goes first.
const ticketsMax = 1024

// tickets are what other nodes gave this one to come back with, one of each, in files of the identity's directory, so that they outlive a restart:
//
//	┌──────────────────────────────┬───────────┬──────────┬─────────────────────┐
//	│ SHA-256 of our certificate   │ length, 4 │ ticket   │ crypto/tls's state  │
//	└──────────────────────────────┴───────────┴──────────┴─────────────────────┘
//
// Who has such a file can be this node once, as who has node.key can be it for ever: it is readable for its owner only. What is lost or can't be read
// costs a round trip.
type tickets struct{ id *Identity }

var _ tls.ClientSessionCache = tickets{}

func (t tickets) dir() string { return filepath.Join(t.id.dir, "tickets") }

func (t tickets) file(peer string) string {
	name := sha256.Sum256([]byte(peer))
	return filepath.Join(t.dir(), hex.EncodeToString(name[:16]))
}

// own names the certificate that tickets were given for: with another one, what it says may have changed.
func (t tickets) own() (sum [sha256.Size]byte, ok bool) {
	c, err := t.id.credentials()
	if err != nil {
		return sum, false
	}
	return sha256.Sum256(c.cert.Certificate[0]), true
}

// Get implements tls.ClientSessionCache. A ticket is good once.
func (t tickets) Get(peer string) (*tls.ClientSessionState, bool) {
	file := t.file(peer)
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, false
	}
	_ = os.Remove(file)
	own, ok := t.own()
	if !ok {
		return nil, false
	}
	return parseTicket(b, own)
}

func parseTicket(b []byte, own [sha256.Size]byte) (*tls.ClientSessionState, bool) {
	b, ok := bytes.CutPrefix(b, own[:])
	if !ok || len(b) < 4 {
		return nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if b = b[4:]; uint64(n) > uint64(len(b)) {
		return nil, false
	}
	state, err := tls.ParseSessionState(b[n:])
	if err != nil {
		return nil, false
	}
	cs, err := tls.NewResumptionState(b[:n], state)
	return cs, err == nil
}

// Put implements tls.ClientSessionCache.
func (t tickets) Put(peer string, cs *tls.ClientSessionState) {
	file := t.file(peer)
	own, ok := t.own()
	if cs == nil || !ok {
		_ = os.Remove(file)
		return
	}
	ticket, state, err := cs.ResumptionState()
	if err != nil || state == nil {
		return
	}
	raw, err := state.Bytes()
	if err != nil {
		return
	}
	b := binary.BigEndian.AppendUint32(own[:], uint32(len(ticket)))
	b = append(append(b, ticket...), raw...)
	if os.MkdirAll(t.dir(), 0o700) != nil {
		return
	}
	t.makeRoom()
	// Not synced: what a crash leaves half isn't read.
	if os.WriteFile(file+".new", b, 0o600) == nil {
		_ = os.Rename(file+".new", file)
	}
}

// makeRoom removes the oldest where there are too many: of nodes that left.
func (t tickets) makeRoom() {
	list, err := os.ReadDir(t.dir())
	if err != nil || len(list) < ticketsMax {
		return
	}
	var oldest string
	var when time.Time
	for _, e := range list {
		if info, err := e.Info(); err == nil && (oldest == "" || info.ModTime().Before(when)) {
			oldest, when = e.Name(), info.ModTime()
		}
	}
	_ = os.Remove(filepath.Join(t.dir(), oldest))
}
