package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/compute/apart"
	"github.com/wherry/wherry/internal/garbage"
)

// monitorCommand is how this program is started as what runs programs.
var monitorCommand = []string{"wherry", "monitor"}

// newMonitorCommand is started by wherry dev, edge and run, and by nobody else.
func newMonitorCommand() *cobra.Command {
	return &cobra.Command{
		Use:    monitorCommand[1],
		Short:  "Run the programs of another wherry process, which starts this",
		Hidden: true,
		Args:   noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithCancel(c.Context())
			defer cancel()
			go garbage.Bound(ctx, garbage.OfPrograms) // this process ends before it, or with it
			return apart.Monitor()
		},
	}
}
