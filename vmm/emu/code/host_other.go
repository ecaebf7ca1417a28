//go:build !linux || !amd64

package code

import (
	"errors"
	"unsafe"
)

// Elsewhere all is interpreted.
const (
	Possible      = false
	hostHasPOPCNT = false
	hostHasSSE3   = false
	hostHasSSSE3  = false
	hostHasSSE41  = false
	hostHasSSE42  = false

	hostHasAES       = false
	hostHasPCLMULQDQ = false
	hostHasBMI       = false
	hostHasADX       = false
	hostHasSHA       = false
	hostHasAVX2      = false
	hostHasFMA       = false
	hostHasF16C      = false
)

type mapping struct {
	writable []byte
	at       uint64
}

func newMapping(int) (mapping, error) { return mapping{}, errors.ErrUnsupported }

// Free has nothing to do.
func (m *mapping) Free() error { return nil }

func serialize() {}

// Enter isn't called: there is no Memory.
func Enter(unsafe.Pointer, uint64, uint64) { panic("BUG: there is no translated code") }
