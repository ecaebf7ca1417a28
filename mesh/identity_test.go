package mesh

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wherry/wherry/certs"
	"github.com/wherry/wherry/feed"
)

func identity(t testing.TB) *Identity {
	t.Helper()
	id, err := OpenIdentity(filepath.Join(t.TempDir(), "identity"))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAnIdentityLasts(t *testing.T) {
	a, id := authority(t), identity(t)
	if _, ok := id.Who(); ok || !id.Expires().IsZero() {
		t.Error("it is somebody before it has joined")
	}
	again, err := OpenIdentity(id.dir)
	if err != nil || !again.key.Equal(id.key) {
		t.Fatalf("before it has joined: %v", err)
	}
	install(t, a, id, "lisbon-1", time.Now(), feed.RoleEdge)
	if again, err = OpenIdentity(id.dir); err != nil {
		t.Fatal(err)
	}
	if who, ok := again.Who(); !ok || who.Node != "lisbon-1" || who.Network != "cdn.test" || !who.Has(feed.RoleEdge) || !again.Expires().Equal(id.Expires()) {
		t.Errorf("%v, %v", who, ok)
	}
	if files, err := filepath.Glob(filepath.Join(id.dir, "*.tmp")); len(files) > 0 {
		t.Errorf("%v, %v", files, err)
	}
}

func TestWhatIsNotInstalled(t *testing.T) {
	a, id := authority(t), identity(t)
	csr, err := id.CSR()
	if err != nil {
		t.Fatal(err)
	}
	issue := func(a *Authority, name Who) []byte {
		cert, err := a.Issue(csr, name, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	install(t, a, id, "lisbon-1", time.Now())
	other := authority(t)
	elsewhere, err := NewAuthority(t.TempDir(), "other.test", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	good := issue(a, Who{Node: "lisbon-1"})
	for _, c := range []struct {
		name        string
		cert, roots []byte
		says        string
	}{
		{"nothing", nil, a.PEM(), "isn't PEM"},
		{"no roots", good, nil, "isn't PEM"},
		{"half", good[:len(good)/4], a.PEM(), "isn't PEM"},
		{"of an authority that isn't among the roots", issue(other, Who{Node: "lisbon-1"}), a.PEM(), "isn't of the authorities that came with it"},
		{"another node's", issue(a, Who{Node: "oslo-1"}), a.PEM(), "is of oslo-1 in cdn.test, and this is lisbon-1 in cdn.test"},
		{"another network's", issue(elsewhere, Who{Node: "lisbon-1"}), elsewhere.PEM(), "join with another state directory"},
		{"another authority's of that network", issue(other, Who{Node: "lisbon-1"}), other.PEM(), "doesn't trust yet"},
		{"an authority's", a.PEM(), a.PEM(), "isn't for its key"},
	} {
		if err := id.Install(c.cert, c.roots); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
		if who, ok := id.Who(); !ok || who.Node != "lisbon-1" {
			t.Fatalf("%s: now it is %v", c.name, who)
		}
	}
	if again, err := OpenIdentity(id.dir); err != nil || again.current.Load().who.Network != "cdn.test" {
		t.Errorf("on disk: %v", err)
	}
}

func TestAnIdentityThatIsDamaged(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(cert, key, roots string) error
		says  string
	}{
		{"readable by others", func(_, key, _ string) error { return os.Chmod(key, 0o644) }, "chmod 600"},
		{"no key", func(_, key, _ string) error { return os.Remove(key) }, "node.key"},
		{"half a key", func(_, key, _ string) error { return os.Truncate(key, 60) }, "no PEM block"},
		{"no roots", func(_, _, roots string) error { return os.Remove(roots) }, "roots.crt"},
		{"half a certificate", func(cert, _, _ string) error { return os.Truncate(cert, 60) }, "let it join again"},
		{"an empty certificate", func(cert, _, _ string) error { return os.Truncate(cert, 0) }, "let it join again"},
		{"half of the roots", func(_, _, roots string) error { return os.Truncate(roots, 60) }, "let it join again"},
		{"another key", func(_, key, _ string) error {
			err := os.Remove(key)
			_, makeErr := certs.MakeKey(key)
			return errors.Join(err, makeErr)
		}, "isn't for its key"},
	} {
		id := identity(t)
		install(t, authority(t), id, "lisbon-1", time.Now())
		if err := c.spoil(id.Files()); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenIdentity(id.dir); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestTwoAuthoritiesTakeTurns: while both are trusted, nodes of either speak to each other.
func TestTwoAuthoritiesTakeTurns(t *testing.T) {
	before, after := authority(t), authority(t)
	both := append(before.PEM(), after.PEM()...)
	server, client := identity(t), identity(t)
	for id, a := range map[*Identity]*Authority{server: before, client: after} {
		csr, err := id.CSR()
		if err != nil {
			t.Fatal(err)
		}
		cert, err := a.Issue(csr, Who{Node: "lisbon-1"}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := id.Install(cert, both); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := ask(t, New(client, Options{}).Transport(), t.Context(), serve(t, New(server, Options{}), ListenOptions{})); err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestAFullDiskCostsNoCertificate: the new one is in use, and written when there is room.
func TestAFullDiskCostsNoCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, id := authority(t), identity(t)
		install(t, a, id, "lisbon-1", time.Now().Add(-30*time.Hour))
		aside := id.dir + ".aside"
		if err := os.Rename(id.dir, aside); err != nil { // nothing can be written there
			t.Fatal(err)
		}
		before, asked := id.Expires(), 0
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- id.Run(ctx, slog.New(slog.DiscardHandler), func(_ context.Context, csr []byte) ([]byte, []byte, error) {
				asked++
				cert, err := a.Issue(csr, Who{Node: "lisbon-1"}, time.Now())
				return cert, a.PEM(), err
			})
		}()
		time.Sleep(9 * time.Hour)
		synctest.Wait()
		if asked != 1 || !id.Expires().After(before) {
			t.Errorf("asked %d times; %s, then %s", asked, before, id.Expires())
		}
		if err := os.Rename(aside, id.dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		again, err := OpenIdentity(id.dir)
		if err != nil || asked != 1 || !again.Expires().Equal(id.Expires()) {
			t.Errorf("asked %d times, %v, on disk until %s, in use until %s", asked, err, again.Expires(), id.Expires())
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestRenewals counts how often control is asked in ten days, of which it is away for the time given, and that the certificate was good all
// the time, by the clocks of node and control.
func TestRenewals(t *testing.T) {
	for _, c := range []struct {
		name             string
		node, control    time.Duration // how much their clocks are wrong
		awayFor          time.Duration
		askedMin, askMax int
		endsGood         bool
	}{
		{"right clocks", 0, 0, 0, 9, 10, true},
		{"control is slow by a day", 0, -24 * time.Hour, 0, 9, 42, true},
		{"control is fast by a day", 0, 24 * time.Hour, 0, 9, 10, true},
		{"the node is slow by a day", -24 * time.Hour, 0, 0, 9, 10, true},
		{"the node is fast by a day", 24 * time.Hour, 0, 0, 9, 42, true},
		{"the node is fast by a year", 365 * 24 * time.Hour, 0, 0, 9, 42, false},
		{"control is away for a day", 0, 0, 24 * time.Hour, 9, 200, true},
		{"control is away for six days", 0, 0, 6 * 24 * time.Hour, 800, 1000, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, id := authority(t), identity(t)
				id.now = func() time.Time { return time.Now().Add(c.node) }
				install(t, a, id, "lisbon-1", time.Now().Add(c.control))
				begin, asked, bad := time.Now(), 0, time.Duration(0)
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error)
				go func() {
					done <- id.Run(ctx, slog.New(slog.DiscardHandler), func(_ context.Context, csr []byte) ([]byte, []byte, error) {
						asked++
						if at := time.Since(begin); at > 20*time.Hour && at < 20*time.Hour+c.awayFor {
							return nil, nil, errors.New("control can't be reached")
						}
						cert, err := a.Issue(csr, Who{Node: "lisbon-1"}, time.Now().Add(c.control))
						return cert, a.PEM(), err
					})
				}()
				for range 10 * 24 {
					time.Sleep(time.Hour)
					if time.Now().After(id.Expires()) {
						bad += time.Hour
					}
				}
				stop()
				if err := <-done; err != nil {
					t.Error(err)
				}
				if asked < c.askedMin || asked > c.askMax {
					t.Errorf("asked %d times", asked)
				}
				if late := bad > 0; late != (c.awayFor > 48*time.Hour) {
					t.Errorf("expired for %s", bad)
				}
				if good := id.now().Before(id.Expires()); good != c.endsGood {
					t.Errorf("at the end, good by the node's clock: %v", good)
				}
			})
		})
	}
}
