package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/wherry/wherry/internal/garbage"
	"github.com/wherry/wherry/internal/handover"
	"github.com/wherry/wherry/internal/node"
	"github.com/wherry/wherry/logs"
)

func newRunCommand() *cobra.Command {
	var dir, level string
	c := &cobra.Command{
		Use:   "run",
		Short: "Run this machine's node of a network",
		Long: `Runs the node that wherry init or wherry join has made of this machine, with all of its roles. It follows the network's control; while that
is away it serves what it was told last, for as long as it takes.

When everything runs it prints where it listens and the line "ready". SIGTERM and SIGINT finish the requests in flight and stop it.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if dir == "" {
				dir = defaultDir()
			}
			return runNode(c.OutOrStdout(), dir, newLog(level))
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "`folder` with the node's state (default: "+defaultDir()+")")
	c.Flags().StringVar(&level, "log", "info", "what the process says of itself: debug, info, warn or error")
	return c
}

func runNode(stdout io.Writer, dir string, log *slog.Logger) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := node.Check(dir); err != nil {
		return err
	}
	programs, err := handover.OpenPrograms(dir)
	if err != nil {
		return err
	}
	if err := programs.Launch(); err != nil {
		log.Warn("going on with the program that was started", "error", err)
	}
	parent, inherited, err := handover.Inherited()
	if err != nil {
		return err
	}
	if err := serveNode(stdout, dir, log, programs, parent, inherited); err != nil {
		if parent != nil {
			return parent.Failed(err)
		}
		return err
	}
	return nil
}

// serveNode runs the node, as the first program or as the next one.
func serveNode(stdout io.Writer, dir string, log *slog.Logger, programs *handover.Programs, parent *handover.Parent, inherited handover.Doors) error {
	st, err := openState(dir)
	if err != nil {
		return err
	}
	p := process{state: st}
	o := node.Options{
		Dir: dir, Version: versionText(), Token: st.token, QUIC: st.quic, CA: st.ca, Log: log, Lab: os.Getenv("WHERRY_LAB") != "",
		Programs: programs, Parent: parent, Doors: inherited, Monitor: monitorCommand,
		OpenAccess: func(where string, registry *prometheus.Registry) (*logs.Writer, error) {
			return p.openAccess(where, stdout, log, registry)
		},
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	n, err := node.Open(ctx, o)
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGPIPE)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer stop()
	beside.Go(func() { garbage.Bound(ctx, nodeCacheBytes) })
	var entry *running
	defer func() { entry.remove() }()
	return n.Run(ctx, func(d node.Doors) {
		announceNode(stdout, d)
		if d.Portal != nil && !o.Lab {
			var err error
			if entry, err = registerAt(d.Portal, st.token); err != nil {
				log.Warn("other wherry commands won't find this process by themselves", "error", err)
			}
		}
		if parent != nil {
			if err := parent.Serving(); err != nil {
				log.Warn("the program before this one is gone already", "error", err)
			}
		}
		_ = handover.Notify("READY=1") // nobody listens without systemd
		fmt.Fprintln(stdout, "ready")
	})
}

// nodeCacheBytes is what bounds the garbage of a node before it knows its configuration.
const nodeCacheBytes = 256 << 20

// announceNode prints where a node listens.
func announceNode(w io.Writer, d node.Doors) {
	fmt.Fprintf(w, "node %s\n", d.Node)
	for _, l := range []struct {
		what, front string
		at          net.Addr
	}{
		{"http", "http://", d.HTTP}, {"https", "https://", d.HTTPS}, {"http/3", "", d.HTTP3}, {"dns", "", d.DNS}, {"portal and API", "http://", d.Portal}, {"other nodes", "", d.Mesh},
	} {
		if l.at != nil {
			fmt.Fprintf(w, "%-20s %s%s\n", l.what, l.front, reachable(l.at))
		}
	}
}
