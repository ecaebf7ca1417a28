package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func backupOf(t testing.TB, s *Store, options ...ReadOption) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := s.Backup(t.Context(), &file, options...); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestBackupAndRestore(t *testing.T) {
	s := newCluster(t).first().Store
	var big Txn
	for i := range 1500 {
		big.Put = append(big.Put, Put{fmt.Sprintf("k/%04d", i), fmt.Append(nil, i)})
	}
	if _, err := s.Commit(t.Context(), big); err != nil {
		t.Fatal(err)
	}
	put(t, s, "large", strings.Repeat("x", valueMax))
	term, err := s.Campaign(t.Context(), "work")
	if err != nil {
		t.Fatal(err)
	}
	defer term.Resign()
	file := backupOf(t, s)

	other := newCluster(t).first().Store
	for name, damaged := range damage(file) {
		if n, err := other.Restore(t.Context(), bytes.NewReader(damaged), nil); n != 0 || err == nil {
			t.Errorf("%s: %d keys, %v", name, n, err)
		}
	}
	if list, _, _, err := other.List(t.Context(), "", "", 0); len(list) != 0 || err != nil {
		t.Fatalf("after restores that failed: %v, %v", list, err)
	}
	raise := func(key string, value []byte) ([]byte, error) {
		if key == "k/0007" {
			return []byte("raised"), nil
		}
		return value, nil
	}
	if n, err := other.Restore(t.Context(), bytes.NewReader(file), raise); n != 1501 || err != nil {
		t.Fatalf("%d keys, %v", n, err)
	}
	for key, want := range map[string]string{"k/0007": "raised", "k/1499": "1499", "large": strings.Repeat("x", valueMax)} {
		if kv, ok, err := other.Get(t.Context(), key); err != nil || !ok || string(kv.Value) != want {
			t.Errorf("%s: %.20q %v", key, kv.Value, err)
		}
	}
	if _, ok, _ := other.Get(t.Context(), restoringKey); ok {
		t.Error("the mark is still there")
	}
	if _, err := other.Restore(t.Context(), bytes.NewReader(file), nil); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("into a store that has something: %v", err)
	}
}

func damage(file []byte) map[string][]byte {
	all := map[string][]byte{"empty": {}, "foreign": []byte("hello, this is some other file"), "more": append(slices.Clone(file), 0)}
	for i := 1; i < 16; i++ {
		at := len(file) * i / 16
		all[fmt.Sprintf("cut off at %d", at)] = file[:at]
		changed := slices.Clone(file)
		changed[at] ^= 1
		all[fmt.Sprintf("changed at %d", at)] = changed
	}
	all["without its last byte"] = file[:len(file)-1]
	return all
}

// A restore that breaks off leaves nothing, and one that was killed is taken up by the next one.
func TestARestoreThatFails(t *testing.T) {
	s := newCluster(t).first().Store
	for i := range 3 {
		put(t, s, fmt.Sprint("k/", i), "x")
	}
	file := backupOf(t, s)
	other := newCluster(t).first().Store
	no := errors.New("no")
	_, err := other.Restore(t.Context(), bytes.NewReader(file), func(key string, v []byte) ([]byte, error) {
		if key == "k/2" {
			return nil, no
		}
		return v, nil
	})
	if list, _, _, _ := other.List(t.Context(), "k/", "", 0); !errors.Is(err, no) || len(list) != 0 {
		t.Errorf("%v, %v", err, list)
	}
	put(t, other, restoringKey, "")
	put(t, other, "k/9", "half")
	if n, err := other.Restore(t.Context(), bytes.NewReader(file), nil); n != 3 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if _, ok, _ := other.Get(t.Context(), "k/9"); ok {
		t.Error("what a broken restore left is still there")
	}
}

func TestRestoreIntoAFolder(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	one := c.first()
	put(t, one.Store, "a", "1")
	two := c.grow(one, "control-2")
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	file := backupOf(t, two.Store, Local) // the majority is lost

	o := one.o
	if _, err := Restore(t.Context(), o, bytes.NewReader(file), nil); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("into a folder that has something: %v", err)
	}
	o.Dir = filepath.Join(t.TempDir(), "new")
	if _, err := Restore(t.Context(), o, bytes.NewReader(file[:len(file)-1]), nil); err == nil {
		t.Error("a backup that is cut off was restored")
	}
	if _, err := os.Stat(o.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a restore that failed left a folder: %v", err)
	}
	if n, err := Restore(t.Context(), o, bytes.NewReader(file), nil); n != 1 || err != nil {
		t.Fatalf("%d keys, %v", n, err)
	}
	one.o = o
	one.listen(t, one.at)
	one.start(t)
	// The other member of the old cluster is still there, and isn't let into the new one.
	if kv, ok, err := one.Get(t.Context(), "a"); !ok || string(kv.Value) != "1" {
		t.Fatalf("%v, %v", kv, err)
	}
	if all, err := one.Members(t.Context()); len(all) != 1 || err != nil {
		t.Errorf("%v, %v", all, err)
	}
	put(t, one.Store, "b", "2")
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, _, err := two.Get(short, "b"); err == nil {
		t.Error("a member of the old cluster has a majority with the new one")
	}
}

func TestBackupsAreKept(t *testing.T) {
	s := newCluster(t).first().Store
	put(t, s, "a", "1")
	dir, now := filepath.Join(t.TempDir(), "backups"), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 4 {
		if err := s.backupTo(t.Context(), dir, 2, now.Add(time.Duration(i)*time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	all, err := Backups(dir)
	if len(all) != 2 || err != nil || filepath.Base(all[0]) != "20260101T020000.000Z"+backupSuffix {
		t.Fatalf("%q, %v", all, err)
	}
	if err := s.backupTo(t.Context(), dir, 2, now); err != nil { // the clock was set back
		t.Fatal(err)
	}
	if all, _ = Backups(dir); len(all) != 2 || filepath.Base(all[0]) != "20260101T000000.000Z"+backupSuffix {
		t.Errorf("%q", all)
	}
	f, err := os.Open(all[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if at, n, err := ReadBackup(f, func(string, []byte) error { return nil }); n != 1 || err != nil || at.IsZero() {
		t.Errorf("%v %d %v", at, n, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.tmp")); len(left) != 0 {
		t.Errorf("%q", left)
	}
	if info, _ := os.Stat(all[0]); info.Mode().Perm() != 0o600 {
		t.Errorf("others can read it: %v", info.Mode())
	}
}

func TestNextBackup(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for newest, want := range map[string]time.Duration{
		"": 0, "20260101T113000.000Z": 30 * time.Minute, "20260101T100000.000Z": 0, "20270101T100000.000Z": time.Hour, "odd": time.Hour,
	} {
		var all []string
		if newest != "" {
			all = []string{"/some/" + newest + backupSuffix}
		}
		if got := nextBackup(all, now, time.Hour); got != want {
			t.Errorf("%q: %v, want %v", newest, got, want)
		}
	}
}

func TestRunBackups(t *testing.T) {
	s := newCluster(t).first().Store
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.RunBackups(ctx, dir, time.Hour, 3) }()
	for { // the first one is made at once
		if all, _ := Backups(dir); len(all) == 1 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// When the hour is over since the newest one, whoever made it, there is another; the oldest ones go.
func TestTheHourMakesABackup(t *testing.T) {
	s := newCluster(t).first().Store
	put(t, s, "a", "1")
	dir := t.TempDir()
	stamp := func(ago time.Duration) string {
		return filepath.Join(dir, time.Now().Add(-ago).UTC().Format(backupStamp)+backupSuffix)
	}
	old := []string{stamp(3 * time.Hour), stamp(2 * time.Hour), stamp(time.Hour - 300*time.Millisecond)}
	for _, name := range old {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.RunBackups(ctx, dir, time.Hour, 3) }()
	var all []string
	for all, _ = Backups(dir); len(all) == 0 || slices.Contains(old, all[len(all)-1]) || all[0] == old[0]; all, _ = Backups(dir) {
		time.Sleep(5 * time.Millisecond)
	}
	if time.Since(began) < 250*time.Millisecond {
		t.Error("it was made before the hour was over")
	}
	cancel()
	if err := <-ended; err != nil || len(all) != 3 {
		t.Errorf("%v, %v", all, err)
	}
	f, err := os.Open(all[2])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	values := map[string]string{}
	if _, _, err := ReadBackup(f, func(key string, value []byte) error {
		values[key] = string(value)
		return nil
	}); err != nil || values["a"] != "1" {
		t.Errorf("%v, %v", values, err)
	}
}

func FuzzReadBackup(f *testing.F) {
	f.Add([]byte(backupMagic))
	f.Add(smallBackup(f))
	f.Add(blobBackup(f, []byte("a blob"), nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		last := ""
		_, _, _ = ReadBackupWith(bytes.NewReader(data), func(key string, _ []byte) error {
			if key <= last {
				t.Errorf("the key %q after %q", key, last)
			}
			last = key
			return nil
		}, func(sum [sha256.Size]byte, content io.Reader) error {
			if blob, err := io.ReadAll(content); err == nil && sha256.Sum256(blob) != sum {
				t.Errorf("%d bytes with another hash are passed as whole", len(blob))
			}
			return nil
		})
	})
}

// blobBackup is a backup of a key and blobs.
func blobBackup(t testing.TB, blobs ...[]byte) []byte {
	var file bytes.Buffer
	file.WriteString(backupMagic2)
	z := gzip.NewWriter(&file)
	out := frameWriter{w: z, sum: sha256.New()}
	errs := []error{
		out.write(frameHead, []byte(`{"at":"2026-01-01T00:00:00Z","name":"control-1"}`)),
		out.write(frameKey, []byte{0, 1}, []byte("a"), []byte("1")),
	}
	for _, b := range blobs {
		errs = append(errs, out.blob(sha256.Sum256(b), bytes.NewReader(b)))
	}
	errs = append(errs, out.write(frameEnd, binary.BigEndian.AppendUint64(nil, 1), out.sum.Sum(nil)), z.Close())
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// Blobs come out of a backup as they went into it, whether somebody reads all of one or not; none with another hash goes in.
func TestBlobs(t *testing.T) {
	blobs := [][]byte{nil, []byte("small"), bytes.Repeat([]byte("large"), blobStep/2)}
	file := blobBackup(t, blobs...)
	read := func(file []byte) (got [][]byte, err error) {
		_, _, err = ReadBackupWith(bytes.NewReader(file), func(string, []byte) error { return nil }, func(_ [sha256.Size]byte, content io.Reader) error {
			blob, err := io.ReadAll(content)
			got = append(got, blob)
			return err
		})
		return got, err
	}
	got, err := read(file)
	if err != nil || len(got) != len(blobs) {
		t.Fatalf("%d blobs, %v", len(got), err)
	}
	for i := range blobs {
		if !bytes.Equal(got[i], blobs[i]) {
			t.Errorf("blob %d has %d bytes, want %d", i, len(got[i]), len(blobs[i]))
		}
	}
	if _, n, err := ReadBackup(bytes.NewReader(file), func(string, []byte) error { return nil }); n != 1 || err != nil {
		t.Errorf("read without its blobs it has %d keys, %v", n, err)
	}
	for name, damaged := range damage(file) {
		if _, err := read(damaged); err == nil {
			t.Errorf("%s: it is taken for a backup", name)
		}
	}
	out := frameWriter{w: io.Discard, sum: sha256.New()}
	if err := out.blob(sha256.Sum256([]byte("a blob")), strings.NewReader("a blab")); err == nil {
		t.Error("what has another hash goes into a backup")
	}
}

func smallBackup(t testing.TB) []byte {
	var file bytes.Buffer
	file.WriteString(backupMagic)
	z := gzip.NewWriter(&file)
	out := frameWriter{w: z, sum: sha256.New()}
	for _, err := range []error{
		out.write(frameHead, []byte(`{"at":"2026-01-01T00:00:00Z","name":"control-1"}`)),
		out.write(frameKey, []byte{0, 1}, []byte("a"), []byte("1")),
		out.write(frameEnd, binary.BigEndian.AppendUint64(nil, 1), out.sum.Sum(nil)),
		z.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, n, err := ReadBackup(bytes.NewReader(file.Bytes()), func(string, []byte) error { return nil }); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	return file.Bytes()
}
