package h3

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/quic-go/quic-go"
)

// secretBytes is the least length of a secret.
const secretBytes = 32

// Keys are what has to be the same after a restart, so that clients of the process before aren't left waiting.
type Keys struct {
	reset quic.StatelessResetKey // RFC 9000 §10.3
	token quic.TokenGeneratorKey // RFC 9000 §8.1
}

// NewKeys derives the keys of a node; without a secret they are this process's.
func NewKeys(secret []byte, node string) (k Keys, err error) {
	if secret == nil {
		secret = make([]byte, secretBytes)
		_, _ = rand.Read(secret) // never fails
	}
	if len(secret) < secretBytes {
		return k, fmt.Errorf("the secret for QUIC has %d bytes, want %d", len(secret), secretBytes)
	}
	for to, what := range map[*[32]byte]string{(*[32]byte)(&k.reset): "reset", (*[32]byte)(&k.token): "token"} {
		key, err := hkdf.Key(sha256.New, secret, nil, "wherry quic "+what+" "+node, len(to))
		if err != nil {
			return k, err
		}
		copy(to[:], key)
	}
	return k, nil
}

// altSvcAge is how long clients may remember that there is HTTP/3 (RFC 7838 §3.1).
const altSvcAge = 24 * time.Hour

// AltSvc returns the field's value (RFC 7838 §3) for HTTP/3 on a socket; empty if there is none, or it has no port.
func AltSvc(door net.PacketConn) string {
	if door == nil {
		return ""
	}
	at, err := netip.ParseAddrPort(door.LocalAddr().String())
	if err != nil {
		return ""
	}
	return `h3=":` + strconv.Itoa(int(at.Port())) + `"; ma=` + strconv.Itoa(int(altSvcAge.Seconds()))
}
