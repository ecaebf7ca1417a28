package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
)

// Sealer seals what nobody but control may read, with a key of 32 bytes.
type Sealer []byte

func (s Sealer) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(s)
	if err != nil {
		return nil, fmt.Errorf("the key that seals secrets: %w", err)
	}
	return cipher.NewGCM(block)
}

// Seal returns a secret sealed, with the name of what it belongs to, which Open has to be told.
func (s Sealer) Seal(of, secret []byte) ([]byte, error) {
	aead, err := s.aead()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return aead.Seal(nonce, nonce, secret, of), nil
}

// Open returns what Seal has sealed.
func (s Sealer) Open(of, sealed []byte) ([]byte, error) {
	aead, err := s.aead()
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, errors.New("a secret is damaged in the store: restore a backup, or send it again")
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], of)
	if err != nil {
		return nil, errors.New("a secret can't be opened: it was sealed with another key than this control node has (secret.key)")
	}
	return plain, nil
}
