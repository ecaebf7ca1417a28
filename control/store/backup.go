package store

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A backup is gzip over lines of JSON: a head, a record for each key, and an end with the number of records and the SHA-256 of the lines
// before it. What is a member's own, slots and leaders, isn't in it.
const backupFormat = "wherry backup 1"

type backupLine struct {
	Format string    `json:"format,omitempty"` // of the head
	At     time.Time `json:"at,omitzero"`

	Key   string `json:"k,omitempty"`
	Value []byte `json:"v,omitempty"`

	End   bool   `json:"end,omitempty"`
	Count int    `json:"count,omitempty"`
	Sum   string `json:"sum,omitempty"`
}

func own(key string) bool {
	return strings.HasPrefix(key, "slot/") || strings.HasPrefix(key, "leader/")
}

// Backup writes all keys, as they are at one moment. Secrets are in it as they are stored: sealed.
func (s *Store) Backup(ctx context.Context, w io.Writer) error {
	z := gzip.NewWriter(w)
	sum := sha256.New()
	out := json.NewEncoder(io.MultiWriter(z, sum))
	if err := out.Encode(backupLine{Format: backupFormat, At: time.Now().UTC()}); err != nil {
		return err
	}
	n := 0
	_, err := s.All(ctx, "", func(kv KV) error {
		if own(kv.Key) {
			return nil
		}
		n++
		return out.Encode(backupLine{Key: kv.Key, Value: kv.Value})
	})
	if err != nil {
		return err
	}
	if err := json.NewEncoder(z).Encode(backupLine{End: true, Count: n, Sum: hex.EncodeToString(sum.Sum(nil))}); err != nil {
		return err
	}
	return z.Close()
}

// ReadBackup calls f with each record of a backup. Call it once with an f that does nothing to know that all of it is right.
func ReadBackup(r io.Reader, f func(key string, value []byte) error) (at time.Time, count int, err error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return at, 0, fmt.Errorf("not a backup of wherry: %w", err)
	}
	lines := bufio.NewReaderSize(z, 1<<20)
	sum := sha256.New()
	for first := true; ; first = false {
		line, before, err := readLine(lines, sum)
		switch {
		case first && (err != nil || line.Format != backupFormat):
			return at, 0, errors.New("not a backup of wherry, or one of another version")
		case err != nil:
			return at, 0, fmt.Errorf("the backup is cut off, or damaged, after %d records (%w): take another one", count, err)
		case first:
			at = line.At
		case line.End:
			if line.Count != count || line.Sum != before {
				return at, 0, errors.New("the backup is damaged: take another one")
			}
			return at, count, nil
		default:
			if err := f(line.Key, line.Value); err != nil {
				return at, count, err
			}
			count++
		}
	}
}

// readLine reads a line, and returns the sum of those before it.
func readLine(lines *bufio.Reader, sum hash.Hash) (line backupLine, before string, err error) {
	text, err := lines.ReadBytes('\n')
	if err != nil {
		return line, "", err
	}
	before = hex.EncodeToString(sum.Sum(nil))
	sum.Write(text)
	return line, before, json.Unmarshal(text, &line)
}

// Restore puts the records of a backup into an empty store. edit may change the values.
func (s *Store) Restore(ctx context.Context, r io.ReadSeeker, edit func(key string, value []byte) ([]byte, error)) (count int, err error) {
	if _, _, err := ReadBackup(r, func(string, []byte) error { return nil }); err != nil {
		return 0, err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	var puts []Put
	size := 0
	flush := func() error {
		_, err := s.Commit(ctx, Txn{Put: puts})
		puts, size = nil, 0
		return err
	}
	_, count, err = ReadBackup(r, func(key string, value []byte) error {
		value, err := edit(key, value)
		if err != nil {
			return err
		}
		puts, size = append(puts, Put{key, value}), size+len(value)
		if len(puts) >= 500 || size > 1<<20 {
			return flush()
		}
		return nil
	})
	if err == nil && len(puts) > 0 {
		err = flush()
	}
	return count, err
}

// RunBackups writes a backup into dir each hour or so until ctx ends, and keeps the latest ones.
func (s *Store) RunBackups(ctx context.Context, dir string, every time.Duration, keep int, log *slog.Logger) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
		if err := s.backupTo(ctx, dir, keep); err != nil && ctx.Err() == nil {
			log.Warn("no backup of the store; trying again", "dir", dir, "in", every, "error", err)
		}
	}
}

func (s *Store) backupTo(ctx context.Context, dir string, keep int) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already where it was renamed
	err = s.Backup(ctx, f)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, time.Now().UTC().Format("20060102T150405Z")+backupSuffix)); err != nil {
		return err
	}
	all, err := Backups(dir)
	for len(all) > keep {
		err = errors.Join(err, os.Remove(all[0]))
		all = all[1:]
	}
	return err
}

const backupSuffix = ".wherry-backup"

// Backups lists the backups in dir, the oldest first.
func Backups(dir string) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(dir, "*"+backupSuffix))
	slices.Sort(all)
	return all, err
}
