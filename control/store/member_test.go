package store

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Three members grow while somebody writes; one loses its disk and is replaced; one is removed.
func TestMembersComeAndGo(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	one := c.first()
	writing, stop := context.WithCancel(t.Context())
	var acked atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		at, n := Revision(0), 0
		for writing.Err() == nil {
			next, err := one.Commit(t.Context(), Txn{If: []Cond{Unchanged("n", at)}, Put: []Put{{"n", []byte{byte(n)}}}})
			if err != nil {
				t.Errorf("write %d: %v", n, err)
				return
			}
			at, n = next, n+1
			acked.Add(1)
		}
	}()
	two := c.grow(one, "control-2")
	three := c.grow(two, "control-3")

	if err := two.Close(); err != nil {
		t.Error(err)
	}
	two.o.Dir = t.TempDir() // a new disk
	two.listen(t, two.at)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := three.AddLearner(ctx, two.o.PeerURL); err != nil {
		t.Errorf("adding a member that is one: %v", err)
	}
	if _, err := three.Joining("control-2", two.o.PeerURL); !errors.Is(err, ErrWasMember) {
		t.Errorf("a member without its disk: %v", err)
	}
	if err := three.Replace(ctx, two.o.PeerURL); err != nil {
		t.Fatal(err)
	}
	err := three.Grow(ctx, "control-2", two.o.PeerURL, func(members map[string]string) error {
		two.o.Members = members
		two.start(t)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Promote(ctx, two.o.PeerURL); err != nil {
		t.Errorf("letting a member vote that does: %v", err)
	}
	stop()
	<-ended
	if kv, ok, err := two.Get(ctx, "n"); !ok || err != nil || kv.Value[0] != byte(acked.Load()-1) {
		t.Errorf("%v of %d, %v", kv, acked.Load(), err)
	}

	put(t, three.Store, "x", "1")
	if err := one.RemoveMember(ctx, three.o.PeerURL); err != nil {
		t.Fatal(err)
	}
	<-three.Failed()
	if err := three.Err(); !errors.Is(err, errRemoved) {
		t.Error(err)
	}
	if list, _, _, err := one.List(ctx, slotsPrefix+"control-3/", "", 0); len(list) != 0 || err != nil {
		t.Errorf("it left %v, %v", list, err)
	}
	if err := one.RemoveMember(ctx, three.o.PeerURL); err != nil {
		t.Errorf("removing it again: %v", err)
	}
	list, err := one.Members(ctx)
	if len(list) != 2 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
}

func TestMembersThatCantBe(t *testing.T) {
	one := newCluster(t).first()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := one.RemoveMember(ctx, one.o.PeerURL); err == nil || !strings.Contains(err.Error(), "last member") {
		t.Error(err)
	}
	if err := one.Replace(ctx, one.o.PeerURL); err == nil {
		t.Error("it took its own place")
	}
	if err := one.Promote(ctx, "https://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "isn't a member") {
		t.Error(err)
	}
	if err := one.AddLearner(ctx, "no url"); err == nil {
		t.Error("a URL that is none was taken")
	}
	if err := one.AddLearner(ctx, "https://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	if err := one.Promote(ctx, "https://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "is it running") {
		t.Errorf("a member that isn't there may vote: %v", err)
	}
	put(t, one.Store, "a", "1") // a learner that isn't there stops nothing
}

func TestOptionsThatCantBe(t *testing.T) {
	for name, o := range map[string]Options{
		"no name":          {Dir: t.TempDir(), PeerURL: "https://127.0.0.1:1"},
		"no URL":           {Name: "a", Dir: t.TempDir()},
		"not among them":   {Name: "a", Dir: t.TempDir(), PeerURL: "https://127.0.0.1:1", Members: map[string]string{"b": "https://127.0.0.1:2"}},
		"a file as folder": {Name: "a", Dir: "/dev/null", PeerURL: "https://127.0.0.1:1"},
		"no certificate":   {Name: "a", Dir: t.TempDir(), PeerURL: "https://127.0.0.1:1", PeerTLS: TLSFiles{Cert: "/none", Key: "/none", CA: "/none"}},
	} {
		o.Log = slog.New(slog.DiscardHandler)
		if s, err := Open(t.Context(), o); err == nil {
			t.Errorf("%s: opened", name)
			_ = s.Close()
		}
	}
}

// What is in Dir is damaged: Open says so and the process lives on.
func TestADamagedFolder(t *testing.T) {
	c := newCluster(t)
	one := c.first()
	put(t, one.Store, "a", "1")
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	logs, _ := filepath.Glob(filepath.Join(one.o.Dir, "member", "wal", "*.wal"))
	if err := os.WriteFile(logs[0], []byte("not a log, but longer than nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	one.listen(t, one.at)
	if s, err := Open(t.Context(), one.o); err == nil {
		t.Error("opened")
		_ = s.Close()
	} else {
		t.Log(err)
	}
}

// Strangers, and those who say nothing, are kept out and don't keep the door from closing.
func TestTheDoor(t *testing.T) {
	c := newCluster(t)
	one := c.first()
	silent, err := net.Dial("tcp", one.at)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if conn, err := tls.Dial("tcp", one.at, &tls.Config{InsecureSkipVerify: true}); err == nil {
		_, err = conn.Read(make([]byte, 1)) // TLS 1.3 tells a client late
		if err == nil {
			t.Error("a stranger was let in")
		}
		_ = conn.Close()
	}
	info, err := os.Stat(one.o.Dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := one.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(one.o.Dir, "peer.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// etcd's client reads the certificate's files at each handshake, so renewal needs no restart.
func TestCertificatesAreReadAnew(t *testing.T) {
	one, two := newCluster(t).prepare("control-1"), newCluster(t).prepare("control-2")
	dir := t.TempDir()
	files := TLSFiles{Cert: filepath.Join(dir, "cert"), Key: filepath.Join(dir, "key")}
	copyFile(t, one.o.PeerTLS.Cert, files.Cert)
	copyFile(t, one.o.PeerTLS.Key, files.Key)
	config, err := files.info().ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	before, err := config.GetClientCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	copyFile(t, two.o.PeerTLS.Cert, files.Cert)
	copyFile(t, two.o.PeerTLS.Key, files.Key)
	after, err := config.GetClientCertificate(nil)
	if err != nil || string(before.Certificate[0]) == string(after.Certificate[0]) {
		t.Errorf("it is still the old one, %v", err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheLogIsBounded(t *testing.T) {
	now := time.Time{}
	l := limit{now: func() time.Time { return now }}
	n := 0
	for range 100 {
		if ok, _ := l.allow(); ok {
			n++
		}
	}
	now = now.Add(logWindow)
	if ok, left := l.allow(); n != logMax || !ok || left != 100-logMax {
		t.Errorf("%d records, then %v with %d left out", n, ok, left)
	}
}
