package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/internal/node"
)

// addRestoreCommand adds what needs no control to the commands about control.
func addRestoreCommand(root *cobra.Command) {
	var dir string
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make the store of this control node of a backup",
		Long: `Makes the store of this control node of a backup that wherry control backup or the hourly snapshots in DIR/backups have written. The node must be
stopped, and its former store moved away. It becomes the only member; start it, and let further control nodes grow into it again. Edges take what is
in the backup, also if they are ahead of it. Images of programs are in what wherry control backup writes; the hourly snapshots have none, as they lie beside
them.`,
		Args: exactlyOne("FILE"),
		RunE: func(c *cobra.Command, args []string) error {
			if dir == "" {
				dir = defaultDir()
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			ctx, cancel := context.WithTimeout(c.Context(), time.Hour)
			defer cancel()
			n, images, err := node.Restore(ctx, dir, f, newLog("warn"))
			if err != nil {
				return err
			}
			out := c.OutOrStdout()
			for _, h := range images.Missing {
				fmt.Fprintf(out, "image sha256:%s isn't in the backup: wherry program deploy sends it again\n", h)
			}
			fmt.Fprintf(out, "%d records and %d images of programs restored. Start the node:\n  wherry run --dir %s\n", n, images.Images, dir)
			return nil
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "`folder` with the node's state (default: "+defaultDir()+")")
	for _, group := range root.Commands() {
		if group.Name() == "control" {
			group.AddCommand(c)
		}
	}
}
