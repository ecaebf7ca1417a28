package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	backupSuffix = ".wherry-backup"
	backupStamp  = "20060102T150405.000Z"
	backupRetry  = time.Minute
)

// RunBackups writes a backup into dir each time every has passed since the newest one there, and keeps so many of them, until ctx ends. A backup is
// there whole or not at all.
func (s *Store) RunBackups(ctx context.Context, dir string, every time.Duration, keep int) error {
	for {
		now := time.Now()
		wait := every
		if all, err := Backups(dir); err == nil {
			wait = nextBackup(all, now, every)
		}
		if !s.pause(ctx, wait) {
			return nil
		}
		err := s.backupTo(ctx, dir, max(1, keep), time.Now())
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.o.Metrics.backups.WithLabelValues("error").Inc()
			s.o.Log.Warn("no backup of the store", "dir", dir, "again_in", min(every, backupRetry), "error", err)
			if !s.pause(ctx, min(every, backupRetry)) {
				return nil
			}
		default:
			s.o.Metrics.backups.WithLabelValues("ok").Inc()
			s.o.Metrics.backupAt.SetToCurrentTime()
		}
	}
}

// nextBackup says how long to wait for the next backup, so that a process that restarts often makes some too. A clock that was set can make
// the newest one younger than now; it waits no longer than usual then.
func nextBackup(all []string, now time.Time, every time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	newest, err := time.Parse(backupStamp, strings.TrimSuffix(filepath.Base(all[len(all)-1]), backupSuffix))
	if err != nil {
		return every
	}
	return min(every, max(0, every-now.Sub(newest)))
}

func (s *Store) backupTo(ctx context.Context, dir string, keep int, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*"+backupSuffix+".tmp")) // by a process that was killed
	for _, name := range left {
		_ = os.Remove(name)
	}
	f, err := os.CreateTemp(dir, "*"+backupSuffix+".tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already where it was renamed
	err = s.Backup(ctx, f)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return explain(err)
	}
	name := filepath.Join(dir, now.UTC().Format(backupStamp)+backupSuffix)
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	if err := syncDir(dir); err != nil {
		return err
	}
	all, err := Backups(dir)
	for _, old := range surplus(all, name, keep) {
		err = errors.Join(err, os.Remove(old))
	}
	return err
}

// surplus returns the backups that needn't be kept. The one that was written last is kept, also where a clock that was set makes it look old.
func surplus(all []string, latest string, keep int) []string {
	all = slices.DeleteFunc(slices.Clone(all), func(name string) bool { return name == latest })
	return all[:max(0, len(all)+1-keep)]
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Backups lists the backups in dir, the oldest first.
func Backups(dir string) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(dir, "*"+backupSuffix))
	slices.Sort(all)
	return all, err
}
