package mesh

import (
	"os"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
)

func FuzzTicket(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		var own [32]byte
		_, _ = parseTicket(append(own[:], b...), own)
		_, _ = parseTicket(b, own)
	})
}

// Files that are of another certificate, or broken, are no tickets, and are gone afterwards.
func TestTicketsThatCantBeReadAreLeft(t *testing.T) {
	id, err := OpenIdentity(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	tt := tickets{id}
	if _, ok := tt.Get("a"); ok {
		t.Error("there was a ticket of nobody")
	}
	authority, err := NewAuthority(t.TempDir(), "cdn.test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	csr, _ := id.CSR()
	cert, err := authority.Issue(csr, Who{Node: config.NodeID("lisbon")}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := id.Install(cert, authority.PEM()); err != nil {
		t.Fatal(err)
	}
	_ = os.Mkdir(tt.dir(), 0o700)
	own, _ := tt.own()
	for name, b := range map[string][]byte{"empty": nil, "another's": make([]byte, 100), "short": own[:20], "no state": append(own[:], 0, 0, 0, 1, 7)} {
		_ = os.WriteFile(tt.file("a"), b, 0o600)
		if _, ok := tt.Get("a"); ok {
			t.Errorf("%s: it was taken for a ticket", name)
		}
		if _, err := os.Stat(tt.file("a")); !os.IsNotExist(err) {
			t.Errorf("%s: the file is still there", name)
		}
	}
}
