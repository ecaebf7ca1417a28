package feed

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// What is signed begins with what it is, so that a signature is good for one kind alone.
const (
	entryKind      = "wherry feed entry 1\n"
	checkpointKind = "wherry feed checkpoint 1\n"
)

const (
	// EntryMax is the longest entry, in bytes. It fits into a value of the store.
	EntryMax = 256 << 10
	// keyMax is the longest key of a document.
	keyMax = 512
)

// Signer signs for control. It is safe for use by many goroutines.
type Signer struct{ key ed25519.PrivateKey }

// NewSigner returns a signer with a key.
func NewSigner(key ed25519.PrivateKey) *Signer { return &Signer{key} }

// Key is the public part, for a Verifier.
func (s *Signer) Key() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }

// Sign returns an entry as it is carried. It fails if the entry is longer than EntryMax, or is one that no node could take.
func (s *Signer) Sign(e *Entry) (Signed, error) {
	if err := e.check(); err != nil {
		return Signed{}, fmt.Errorf("sign an entry: %w", err)
	}
	data, err := json.Marshal(e)
	if err != nil {
		return Signed{}, fmt.Errorf("sign an entry: %w", err)
	}
	if len(data) > EntryMax {
		return Signed{}, fmt.Errorf("an entry has %d bytes, more than %d: change fewer documents at once", len(data), EntryMax)
	}
	return Signed{data, ed25519.Sign(s.key, preimage(entryKind, data))}, nil
}

// check is for who signs. Who verifies takes everything that is signed: an entry that is refused would hold back all after it.
func (e *Entry) check() error {
	if e.Position.Epoch == 0 || e.Position.Seq == 0 {
		return fmt.Errorf("position %s: epochs and numbers begin with 1", e.Position)
	}
	for _, c := range e.Changes {
		if c.Key == "" || len(c.Key) > keyMax || !utf8.ValidString(c.Key) {
			return fmt.Errorf("%.64q isn't a key: want UTF-8 of up to %d bytes", c.Key, keyMax)
		}
	}
	if p := e.Purge; p != nil && !(utf8.ValidString(p.Value) && utf8.ValidString(string(p.Site))) {
		return errors.New("what is purged isn't UTF-8")
	}
	return nil
}

// Checkpoint returns a state as it is carried.
func (s *Signer) Checkpoint(state *State) (Checkpoint, error) {
	data, err := encodeState(state.bounded())
	if err != nil {
		return Checkpoint{}, fmt.Errorf("sign a checkpoint: %w", err)
	}
	return Checkpoint{data, ed25519.Sign(s.key, preimage(checkpointKind, data))}, nil
}

func preimage(kind string, data []byte) []byte {
	return append(append(make([]byte, 0, len(kind)+len(data)), kind...), data...)
}

// Verifier reads what control has signed, and nothing else. It is safe for use by many goroutines.
type Verifier struct{ keys []ed25519.PublicKey }

// NewVerifier returns a verifier that takes signatures by any of the keys.
func NewVerifier(keys ...ed25519.PublicKey) *Verifier { return &Verifier{keys} }

func (v *Verifier) signed(kind string, data, signature []byte) bool {
	message := preimage(kind, data)
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
	return parseEntry(s.Bytes)
}

func parseEntry(data []byte) (*Entry, error) {
	var e Entry
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, fmt.Errorf("%w: what is signed isn't an entry: %w", ErrForged, err)
	}
	if e.Position.Epoch == 0 || e.Position.Seq == 0 {
		return nil, fmt.Errorf("%w: what is signed is an entry at %s", ErrForged, e.Position)
	}
	return &e, nil
}

// State returns the state that control has signed; else the error is ErrForged.
func (v *Verifier) State(c Checkpoint) (*State, error) {
	if len(c.Bytes) > CheckpointMax || !v.signed(checkpointKind, c.Bytes, c.Signature) {
		return nil, ErrForged
	}
	s, err := decodeState(bytes.NewReader(c.Bytes))
	if err != nil {
		return nil, fmt.Errorf("%w: what is signed isn't a state: %w", ErrForged, err)
	}
	return s, nil
}

// NewEntry returns the entry that comes after a state.
func (s *State) NewEntry(at time.Time, changes []Change, purge *Purge) *Entry {
	return &Entry{
		Position: Position{s.Position.Epoch, s.Position.Seq + 1}, Prev: s.Head, At: at.UTC(), Changes: changes, Purge: purge,
	}
}

// Seed is the secret part of the key, for a further control node.
func (s *Signer) Seed() []byte { return s.key.Seed() }
