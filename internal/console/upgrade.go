package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
)

func newUpgradeCommand(flags Flags) *cobra.Command {
	var f applyFlags
	var program string
	var back bool
	var nodes []string
	c := &cobra.Command{
		Use:   "upgrade --program FILE | --back",
		Short: "Roll a wherry program out to the nodes, or go back to the one before",
		Long: `Sends a wherry program to control, which rolls it out as wherry apply does a site: a canary, its cluster, a quarter, all. Each node hands its listeners
to the new program, so that no connection is refused. A program that crashes or serves worse is taken back by itself.`,
		Example: `  wherry upgrade --program ./wherry-1.4.0
  wherry upgrade --back --emergency`,
		Args: func(c *cobra.Command, args []string) error {
			if (program == "") == !back {
				return UsageError{errors.New("say which: wherry upgrade --program FILE, or --back")}
			}
			return NoArgs(c, args)
		},
	}
	f.addRollout(c)
	c.Flags().StringVar(&program, "program", "", "the `file` of the program, for the nodes' system")
	c.Flags().BoolVar(&back, "back", false, "go back to the version that held before")
	c.Flags().StringSliceVar(&nodes, "nodes", nil, "only these `nodes` (default: all)")
	return asking(flags, c, func(ctx context.Context, a *asker, _ []string) error {
		in := api.UpgradeRequest{Back: back, Emergency: f.emergency, Message: f.message, Wait: f.emergency && !f.noWait}
		for _, n := range nodes {
			in.Nodes = append(in.Nodes, config.NodeID(n))
		}
		var body io.Reader = http.NoBody
		if !back {
			file, err := os.Open(program)
			if err != nil {
				return err
			}
			defer file.Close()
			if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
				return fmt.Errorf("%s is no program; name the file of a wherry program", program)
			}
			body = file
		}
		r, err := a.show.Upgrade(ctx, in, body)
		if err != nil {
			return err
		}
		return a.applied(ctx, r, &f)
	})
}
