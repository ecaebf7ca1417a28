package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	confprograms "github.com/wherry/wherry/config/programs"
	"github.com/wherry/wherry/internal/console"
	"github.com/wherry/wherry/internal/programs"
)

// addDeployCommands adds to wherry program what asks control.
func addDeployCommands(root *cobra.Command) {
	for _, c := range root.Commands() {
		if c.Name() == "program" {
			c.AddCommand(console.ProgramCommands(consoleFlags, checkProgram)...)
		}
	}
}

// checkProgram starts a program of settings as an edge would, but from a file and the directory of its files, and says why it can't be used.
func checkProgram(ctx context.Context, name, file, files, settings string) error {
	n, problems := config.ParseSettings("the network's settings", []byte(settings))
	if err := problems.Err(); err != nil {
		return err
	}
	spec := n.Programs[config.ProgramName(name)]
	var err error
	if spec.Image, err = filepath.Abs(file); err != nil {
		return err
	}
	if files != "" {
		if spec.Files, err = filepath.Abs(files); err != nil {
			return err
		}
	}
	set, err := programs.New(programs.Options{Log: slog.New(slog.DiscardHandler), Monitor: monitorCommand})
	if err != nil {
		return err
	}
	defer set.Close()
	change, err := set.Prepare(ctx, &config.Snapshot{Network: config.Network{Programs: map[config.ProgramName]confprograms.Program{config.ProgramName(name): spec}}})
	if errors.As(err, &problems) && len(problems) == 1 {
		return errors.New(problems[0].What + "; " + problems[0].Instead)
	}
	if err != nil {
		return err
	}
	return change.Drop()
}
