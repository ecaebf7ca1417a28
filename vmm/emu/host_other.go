//go:build !linux || !amd64

package emu

import "errors"

// Elsewhere all is interpreted.
const (
	canTranslate  = false
	hostHasPOPCNT = false
)

var errNoCodeMemory = errors.New("no memory for translated code; guests are interpreted")

type codeMemory struct {
	writable []byte
	at       uint64
}

func newCodeMemory(int) (*codeMemory, error) { return nil, errNoCodeMemory }

func (m *codeMemory) setJump(int, uint64) {}

func serialize() {}

func (m *codeMemory) free() error { return nil }

func enterCode(*VCPU, uint64, uint64) {}
