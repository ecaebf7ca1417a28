package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
)

func newControlCommand(flags Flags) *cobra.Command {
	return group("control", "Look after control's store: grow it, back it up", newControlStatusCommand(flags), newControlGrowCommand(flags), newControlBackupCommand(flags))
}

func newControlStatusCommand(flags Flags) *cobra.Command {
	c := &cobra.Command{Use: "status", Short: "Show the members of control's store, its leader and its last backup", Args: NoArgs}
	return asking(flags, c, func(ctx context.Context, a *asker, _ []string) error {
		s, err := a.show.Status(ctx)
		if err != nil || a.json {
			return err
		}
		if s.Control.Node == "" {
			return errors.New("this process has no control; ask a node of role control (--server or WHERRY_SERVER)")
		}
		a.printControl(s.Control)
		return nil
	})
}

func newControlGrowCommand(flags Flags) *cobra.Command {
	c := &cobra.Command{
		Use: "grow NODE...", Short: "Make nodes of role control members of the store, while it goes on",
		Long: `Makes nodes of role control members of the store: 3 members stand the loss of one, 5 of two. Each first learns all that the store has, then votes.`,
		Example: `  wherry node token --roles control    # on the machines that join, run what it prints
  wherry control grow osaka-1 lima-1`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return UsageError{errors.New("say which nodes: wherry control grow NODE, and more after it")}
			}
			return nil
		},
	}
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error {
		var in api.GrowRequest
		for _, n := range args {
			in.Nodes = append(in.Nodes, config.NodeID(n))
		}
		s, err := a.show.Grow(ctx, in)
		if err == nil && !a.json {
			a.printControl(s.Control)
		}
		return err
	})
}

func newControlBackupCommand(flags Flags) *cobra.Command {
	c := &cobra.Command{
		Use: "backup FILE", Short: "Write all that control's store has, and the images of programs, into a file", Args: ExactlyOne("file, or - for standard output"),
		Long: `Writes all that control's store has, and the images of programs, into a file that only its owner can read. Secrets are encrypted in it, as in the store: their key lies in the state
folders of control nodes alone, so keep a copy of that, elsewhere.`,
	}
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error {
		if args[0] == "-" {
			return a.ask.Backup(ctx, a.out)
		}
		size, err := writeWhole(args[0], func(w io.Writer) error { return a.ask.Backup(ctx, w) })
		switch {
		case err != nil:
			return err
		case a.json:
			return json.NewEncoder(a.out).Encode(map[string]any{"file": args[0], "bytes": size})
		}
		fmt.Fprintf(a.out, "backed up to %s, %d bytes\n", args[0], size)
		return nil
	})
}

// writeWhole writes a file whole or not at all: what breaks off leaves an older one as it is.
func writeWhole(name string, write func(io.Writer) error) (size int64, err error) {
	f, err := os.OpenFile(name+".part", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name()) // when it was renamed, it isn't there
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if info, failed := f.Stat(); failed == nil {
		size = info.Size()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	return size, os.Rename(f.Name(), name)
}
