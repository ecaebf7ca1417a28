package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ErrExposed is of a private key's file that others than its owner can read.
var ErrExposed = errors.New("can be read by others")

// ReadKey reads an authority's or a node's private key (ECDSA, PKCS #8, PEM). Callers say what to do about ErrExposed, which depends on
// what the key can do.
func ReadKey(file string) (*ecdsa.PrivateKey, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s %w (mode %04o)", file, ErrExposed, mode)
	}
	der, err := ReadPEM(file, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := ParseKey(der)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return key, nil
}

// ParseKey reads an ECDSA key in PKCS #8, DER.
func ParseKey(der []byte) (*ecdsa.PrivateKey, error) {
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("key is %T, want ECDSA", key)
	}
	return ec, nil
}

// MakeKey makes a key (P-256) in a file that only its owner can read, or reads the one that another process has made meanwhile.
func MakeKey(file string) (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key %s: %w", file, err)
	}
	text, err := EncodeKey(key)
	if err != nil {
		return nil, fmt.Errorf("make the key %s: %w", file, err)
	}
	err = writeNew(file, text, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return ReadKey(file)
	}
	return key, err
}

// EncodeKey returns a key in PKCS #8, PEM.
func EncodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return EncodePEM("PRIVATE KEY", der), err
}

// EncodePEM returns one block of PEM.
func EncodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// ReadPEM reads the first block of a file, which has to be of that kind.
func ReadPEM(file, kind string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != kind {
		return nil, fmt.Errorf("%s: no PEM block %q in it", file, kind)
	}
	return block.Bytes, nil
}

// ReplacePublic makes or replaces a file that everybody may read; at any time, also after a crash, it's whole.
func ReplacePublic(file string, content []byte) error { return replace(file, content, 0o644) }
