package feed

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// What is signed begins with what it is, so that a signature is good for one kind alone.
const (
	entryKind      = "wherry feed entry 1\n"
	checkpointKind = "wherry feed checkpoint 1\n"
)

const (
	// EntryMax is the longest entry, in bytes. It fits into a value of the store.
	EntryMax = 256 << 10
	// stateMax is the longest state, in bytes of JSON: some millions of documents.
	stateMax = 1 << 30
)

// Signer signs for control. It is safe for use by many goroutines.
type Signer struct{ key ed25519.PrivateKey }

// NewSigner returns a signer with a key.
func NewSigner(key ed25519.PrivateKey) *Signer { return &Signer{key} }

// Key is the public part, for a Verifier.
func (s *Signer) Key() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }

// Sign returns an entry as it is carried. It fails if the entry is longer than EntryMax.
func (s *Signer) Sign(e *Entry) (Signed, error) {
	data, err := json.Marshal(e)
	if err != nil {
		return Signed{}, fmt.Errorf("sign an entry: %w", err)
	}
	if len(data) > EntryMax {
		return Signed{}, fmt.Errorf("an entry has %d bytes, more than %d: change fewer documents at once", len(data), EntryMax)
	}
	return Signed{data, ed25519.Sign(s.key, append([]byte(entryKind), data...))}, nil
}

// Checkpoint returns a state as it is carried.
func (s *Signer) Checkpoint(state *State) (Checkpoint, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return Checkpoint{}, err
	}
	if err := json.NewEncoder(z).Encode(state); err != nil {
		return Checkpoint{}, fmt.Errorf("sign a checkpoint: %w", err)
	}
	if err := z.Close(); err != nil {
		return Checkpoint{}, fmt.Errorf("sign a checkpoint: %w", err)
	}
	return Checkpoint{b.Bytes(), ed25519.Sign(s.key, append([]byte(checkpointKind), b.Bytes()...))}, nil
}

// Verifier reads what control has signed, and nothing else. It is safe for use by many goroutines.
type Verifier struct{ keys []ed25519.PublicKey }

// NewVerifier returns a verifier that takes signatures by any of the keys.
func NewVerifier(keys ...ed25519.PublicKey) *Verifier { return &Verifier{keys} }

func (v *Verifier) signed(kind string, data, signature []byte) bool {
	message := append([]byte(kind), data...)
	for _, key := range v.keys {
		if len(key) == ed25519.PublicKeySize && ed25519.Verify(key, message, signature) {
			return true
		}
	}
	return false
}

// Entry returns the entry that control has signed; else the error is ErrForged.
func (v *Verifier) Entry(s Signed) (*Entry, error) {
	if len(s.Bytes) > EntryMax || !v.signed(entryKind, s.Bytes, s.Signature) {
		return nil, ErrForged
	}
	var e Entry
	if err := json.Unmarshal(s.Bytes, &e); err != nil || e.Position.Epoch == 0 || e.Position.Seq == 0 {
		return nil, fmt.Errorf("%w: what is signed isn't an entry (%v)", ErrForged, err)
	}
	return &e, nil
}

// State returns the state that control has signed; else the error is ErrForged.
func (v *Verifier) State(c Checkpoint) (*State, error) {
	if !v.signed(checkpointKind, c.Bytes, c.Signature) {
		return nil, ErrForged
	}
	z, err := gzip.NewReader(bytes.NewReader(c.Bytes))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForged, err)
	}
	var s State
	if err := json.NewDecoder(io.LimitReader(z, stateMax)).Decode(&s); err != nil || s.Position.Epoch == 0 {
		return nil, fmt.Errorf("%w: what is signed isn't a state (%v)", ErrForged, err)
	}
	if s.Docs == nil {
		s.Docs = map[string]Doc{}
	}
	return &s, nil
}

// NewEntry returns the entry that comes after a state.
func (s *State) NewEntry(at time.Time, changes []Change, purge *Purge) *Entry {
	return &Entry{
		Position: Position{s.Position.Epoch, s.Position.Seq + 1}, Prev: s.Head, At: at.UTC(), Changes: changes, Purge: purge,
	}
}

// Seed is the secret part of the key, for a further control node.
func (s *Signer) Seed() []byte { return s.key.Seed() }
