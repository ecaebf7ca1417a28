package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/internal/lab"
)

func newLabCommand() *cobra.Command {
	o := lab.Options{}
	c := &cobra.Command{
		Use:   "lab --dir DIR",
		Short: "Run a real network of processes on loopback, to try what happens when they fail",
		Long: `Runs a network on loopback, each node a process with its own state in DIR. It prints a line for each node,

    node NAME ROLES PID http=ADDRESS …

a line "portal ADDRESS", where one signs in with WHERRY_TOKEN, a line "export WHERRY_SERVER=… WHERRY_TOKEN=… WHERRY_LAB_DIR=…" that makes all
other commands work from another shell, and "ready". SIGTERM stops all. Another start with the same DIR goes on with the same network.`,
		Example: `  wherry lab --dir ./lab --control 3 --edges 4 --dns 1
  wherry lab kill control-1 --dir ./lab
  wherry lab cut edge-2 --dir ./lab
  wherry lab cut edge-1 edge-3 --dir ./lab`,
		Args: oneOfItsCommands,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.Check(); err != nil {
				return usageError{err}
			}
			program, err := os.Executable()
			if err != nil {
				return err
			}
			o.Program, o.Out, o.Log = program, c.OutOrStdout(), newLog("info")
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			l, err := lab.New(ctx, o)
			if err != nil {
				return err
			}
			return l.Run(ctx)
		},
	}
	f := c.Flags()
	f.StringVar(&o.Dir, "dir", "", "`folder` for the state of all nodes (required)")
	f.IntVar(&o.Control, "control", 1, "how many control nodes")
	f.IntVar(&o.Edges, "edges", 2, "how many edges")
	f.IntVar(&o.DNS, "dns", 1, "how many name servers")
	for _, below := range []struct{ name, short string }{
		{"kill", "Kill a node's process (SIGKILL); it stays dead until it is restarted"},
		{"pause", "Stop a node's process where it is (SIGSTOP)"},
		{"resume", "Let a node that was paused or cut off go on"},
		{"restart", "End a node's process if it runs, and start it"},
		{"cut", "Let nothing pass between a node and the others, or one other; its own doors stay open"},
	} {
		c.AddCommand(newLabSteeringCommand(below.name, below.short))
	}
	return c
}

func newLabSteeringCommand(what, short string) *cobra.Command {
	var dir string
	var asJSON bool
	use, positional := what+" NODE", exactlyOne("NODE")
	if what == "cut" {
		use, positional = what+" NODE [OTHER]", oneOrTwoNodes
	}
	c := &cobra.Command{
		Use: use, Short: short, Args: positional,
		RunE: func(c *cobra.Command, args []string) error {
			dir = cmp.Or(dir, os.Getenv("WHERRY_LAB_DIR"))
			if dir == "" {
				return usageError{fmt.Errorf("say which lab: --dir, or $WHERRY_LAB_DIR as the lab has printed it")}
			}
			ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
			defer cancel()
			answer, err := lab.Command(ctx, dir, what, args[0], args[1:]...)
			if err != nil {
				return err
			}
			if asJSON {
				fmt.Fprint(c.OutOrStdout(), answer)
			}
			return nil
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "the lab's `folder` (default: $WHERRY_LAB_DIR)")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func oneOrTwoNodes(_ *cobra.Command, args []string) error {
	if len(args) < 1 || len(args) > 2 {
		return usageError{errors.New("name the node that is to be cut off, or the two that are to be cut off from each other")}
	}
	return nil
}
