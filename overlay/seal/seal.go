package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/wherry/wherry/overlay/wire"
)

// PacketsMax is after how many packets a sender changes its key (RFC 9001 §6.6 allows AES-GCM 2^23).
const PacketsMax = 1 << 22

// Key seals or opens the packets of one direction.
type Key struct {
	suite  uint16
	secret []byte
	aead   cipher.AEAD
	iv     [12]byte
}

func hashOf(suite uint16) func() hash.Hash {
	if suite == tls.TLS_AES_256_GCM_SHA384 {
		return sha512.New384
	}
	return sha256.New
}

// expand is HKDF-Expand-Label of RFC 8446 §7.1 with an empty context.
func expand(suite uint16, secret []byte, label string, size int) []byte {
	info := make([]byte, 0, 32)
	info = binary.BigEndian.AppendUint16(info, uint16(size))
	info = append(info, byte(len("tls13 ")+len(label)))
	info = append(append(append(info, "tls13 "...), label...), 0)
	out, err := hkdf.Expand(hashOf(suite), secret, string(info), size)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return out
}

// New derives a key from a secret of TLS (RFC 9001 §5.1, with labels of our own: it is another protocol).
func New(suite uint16, secret []byte) (*Key, error) {
	k := &Key{suite: suite, secret: secret}
	var err error
	switch suite {
	case tls.TLS_AES_128_GCM_SHA256:
		k.aead, err = newGCM(expand(suite, secret, "wherry key", 16))
	case tls.TLS_AES_256_GCM_SHA384:
		k.aead, err = newGCM(expand(suite, secret, "wherry key", 32))
	case tls.TLS_CHACHA20_POLY1305_SHA256:
		k.aead, err = chacha20poly1305.New(expand(suite, secret, "wherry key", 32))
	default:
		err = fmt.Errorf("cipher suite %#04x is unknown", suite)
	}
	if err != nil {
		return nil, err
	}
	copy(k.iv[:], expand(suite, secret, "wherry iv", len(k.iv)))
	return k, nil
}

func newGCM(b []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(b)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Next is the key of the next generation (RFC 9001 §6.1).
func (k *Key) Next() (*Key, error) {
	return New(k.suite, expand(k.suite, k.secret, "wherry ku", hashOf(k.suite)().Size()))
}

// Initial are for the packets that nobody has secrets for yet: they keep out what is damaged or isn't meant for us, not who listens.
func Initial(id wire.ID) (client, server *Key, err error) {
	secret, err := hkdf.Extract(sha256.New, binary.BigEndian.AppendUint64(nil, uint64(id)), []byte("wherry overlay 1"))
	if err != nil {
		return nil, nil, err
	}
	suite := tls.TLS_AES_128_GCM_SHA256
	if client, err = New(suite, expand(suite, secret, "client in", sha256.Size)); err != nil {
		return nil, nil, err
	}
	server, err = New(suite, expand(suite, secret, "server in", sha256.Size))
	return client, server, err
}

func (k *Key) nonce(n *[12]byte, path byte, number uint64) {
	*n = k.iv
	n[3] ^= path
	for i := range 8 {
		n[4+i] ^= byte(number >> (56 - 8*i))
	}
}

// Seal closes the packet in b, whose header is its first header bytes; b has room for the tag behind it.
func (k *Key) Seal(b []byte, header int, path byte, number uint64, nonce *[12]byte) []byte {
	k.nonce(nonce, path, number)
	return k.aead.Seal(b[:header], nonce[:], b[header:], b[:header])
}

// Open returns the frames of the packet in b, in its place.
func (k *Key) Open(b []byte, header int, path byte, number uint64, nonce *[12]byte) ([]byte, error) {
	k.nonce(nonce, path, number)
	return k.aead.Open(b[header:header], nonce[:], b[header:], b[:header])
}
