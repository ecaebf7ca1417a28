package main

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/internal/programs"
)

// checkPrograms starts the programs of a configuration as an edge would, and says which of them can't be used.
func checkPrograms(s *config.Snapshot, file string) config.Problems {
	if len(s.Programs) == 0 {
		return nil
	}
	set, err := programs.New(programs.Options{File: file, State: defaultDir(), Memory: int64(s.Memory.Programs), Monitor: monitorCommand, Log: slog.New(slog.DiscardHandler)})
	if err == nil {
		defer set.Close()
		var change *programs.Change
		if change, err = set.Prepare(context.Background(), s); err == nil {
			err = change.Drop()
		}
	}
	var problems config.Problems
	if err != nil && !errors.As(err, &problems) {
		problems = config.Problems{{File: file, Line: 1, Column: 1, Path: "programs", What: err.Error()}}
	}
	return problems
}

// private warns of a file that others may read, too. Whether it can be used at all the programs say.
func (c *fileCheck) private(ref *config.FileRef) {
	if info, err := os.Stat(programs.FileOf(c.file, ref.Name)); err == nil && programs.OpenToOthers(info) {
		c.add(config.Warning, ref, "can be read by others", "run chmod 600 on it")
	}
}
