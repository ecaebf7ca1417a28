package overlay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"testing"
)

func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

// transfer sends want over a new stream of from and checks what to reads.
func transfer(t testing.TB, from, to *Conn, want []byte) {
	t.Helper()
	ctx := context.Background()
	s, err := from.OpenStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 1)
	go func() {
		_, err := s.Write(want)
		s.CloseWrite()
		errs <- err
	}()
	r, err := to.AcceptStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("read %d bytes (%x), wrote %d (%x)", len(got), sha256.Sum256(got), len(want), sha256.Sum256(want))
	}
}

func TestAStreamCarriesBytesInOrder(t *testing.T) {
	client, server := pair(t)
	if client.Peer() != "bob" || server.Peer() != "alice" {
		t.Errorf("peers %q and %q", client.Peer(), server.Peer())
	}
	transfer(t, client, server, pattern(3<<20, 1))
	transfer(t, server, client, pattern(3<<20, 2))
	transfer(t, client, server, nil)
}
