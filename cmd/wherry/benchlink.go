package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/internal/console"
	"github.com/wherry/wherry/internal/linkem"
	"github.com/wherry/wherry/internal/linkem/flows"
	"github.com/wherry/wherry/internal/linkem/plot"
)

func newBenchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure transports over an emulated link, or over loopback",
		Args:  oneOfItsCommands,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newBenchLinkCommand(), newBenchLoopbackCommand(), console.NewBenchPathCommand(consoleFlags))
	return c
}

// linkFlags are the words of wherry bench link.
type linkFlags struct {
	rate, loss, reorder, queue, aqm, flows, object, plot string
	burst                                                float64
	delay, jitter                                        time.Duration
	seconds                                              float64
	together, json                                       bool
}

// secondsMax keeps the samples of a measurement few.
const secondsMax = 3600

func newBenchLinkCommand() *cobra.Command {
	o := linkFlags{}
	c := &cobra.Command{
		Use:   "link",
		Short: "Measure flows over one emulated link (needs root)",
		Long: `Emulates a link between two network namespaces and sends flows over it: kernel TCP with the congestion control of its name, QUIC (quic-go),
and our overlay. Each kind runs alone, one after another, or all at once with --together. The link is the same both ways; --delay is one way.

With --object, each flow fetches objects of that size one after another on a warm connection instead: TCP by HTTP/2 over TLS.

Nothing is left behind, however it ends. It needs root (network namespaces, /dev/net/tun, real-time priority).`,
		Example: `  wherry bench link --rate 100mbit --delay 50ms --loss 1% --flows overlay:1,tcp-cubic:1,tcp-bbr:1,quic:1
  wherry bench link --rate 50mbit --delay 20ms --queue 2bdp --flows tcp-cubic:2,tcp-reno:2 --together
  wherry bench link --rate 100mbit --delay 50ms --loss 1% --burst 8 --flows tcp-cubic:1 --object 100KiB --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			plan, err := o.plan()
			if err != nil {
				return usageError{err}
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			picture, err := newPicture(o.plot)
			if err != nil {
				return err
			}
			report, err := flows.RunLink(ctx, plan)
			if err != nil {
				return errors.Join(whyStopped(ctx, err), picture.discard())
			}
			if err := picture.draw(report.Figure()); err != nil {
				return err
			}
			if o.json {
				return printJSON(c, report)
			}
			return report.Table(c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.StringVar(&o.rate, "rate", "100mbit", "the line's `rate`, counted on IP packets")
	f.DurationVar(&o.delay, "delay", 50*time.Millisecond, "propagation `delay`, one way")
	f.StringVar(&o.loss, "loss", "0%", "`part` of all packets that is lost, in each direction")
	f.Float64Var(&o.burst, "burst", 0, "loss comes in runs of so many `packets` on average (Gilbert-Elliott); 0: each packet for itself")
	f.DurationVar(&o.jitter, "jitter", 0, "up to this much more `delay` for each packet; the order stays")
	f.StringVar(&o.reorder, "reorder", "0%", "`part` of all packets that others overtake; 1%:5ms says how much later they come (default: a quarter of the delay)")
	f.StringVar(&o.queue, "queue", "1bdp", "`room` before the line, in bytes or in bandwidth-delay products (rate × twice the delay)")
	f.StringVar(&o.aqm, "aqm", string(linkem.DropTail), "what the queue drops: droptail or codel (RFC 8289)")
	f.StringVar(&o.flows, "flows", "overlay:1,tcp-cubic:1,tcp-bbr:1,quic:1", "`kinds` of flows with their number: overlay, overlay-reno, overlay-cubic, overlay-bbr, tcp-reno, tcp-cubic, tcp-bbr, quic")
	f.Float64Var(&o.seconds, "seconds", 10, "how long each measurement takes, in `seconds`")
	f.StringVar(&o.object, "object", "", "fetch objects of this `size`, like 100KiB, instead of bulk")
	f.BoolVar(&o.together, "together", false, "all flows at once over the same link")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.StringVar(&o.plot, "plot", "", "draw goodput, window and round trip over time, and each flow's share, to this `file` (.svg or .png)")
	return c
}

// picture is the file of --plot, opened before the measurement, so that a name that can't be written to doesn't cost one. nil: none is wanted.
type picture struct{ file *os.File }

func newPicture(name string) (*picture, error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Create(name)
	return &picture{f}, err
}

func (p *picture) draw(f plot.Figure) error {
	if p == nil {
		return nil
	}
	write := f.SVG
	if filepath.Ext(p.file.Name()) == ".png" {
		write = f.PNG
	}
	return errors.Join(write(p.file), p.file.Close())
}

// discard leaves no empty file behind a measurement that failed.
func (p *picture) discard() error {
	if p == nil {
		return nil
	}
	return errors.Join(p.file.Close(), os.Remove(p.file.Name()))
}

// plan reports all flags that can't be meant.
func (o *linkFlags) plan() (flows.LinkPlan, error) {
	var p flows.LinkPlan
	var errs []error
	note := func(flag string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s: %w", flag, err))
		}
	}
	s := &p.Shape
	s.Delay, s.Jitter, s.AQM = o.delay, o.jitter, linkem.AQM(o.aqm)
	var err error
	s.RateBits, err = linkem.ParseRate(o.rate)
	note("rate", err)
	loss, err := linkem.ParseFraction(o.loss)
	note("loss", err)
	s.Loss = linkem.RandomLoss(loss)
	switch {
	case o.burst != 0 && !(o.burst >= 1 && loss > 0 && loss < 1):
		note("burst", errors.New("give at least 1 packet, and a --loss between 0% and 100%"))
	case o.burst != 0:
		s.Loss = linkem.BurstLoss(loss, o.burst)
	}
	s.Reorder, s.ReorderDelay, err = linkem.ParseReorder(o.reorder)
	note("reorder", err)
	s.QueueBytes, err = linkem.ParseQueue(o.queue, *s)
	note("queue", err)
	p.Flows, err = flows.LinkFlows(o.flows)
	note("flows", err)
	if o.object != "" {
		p.ObjectBytes, err = linkem.ParseBytes(o.object)
		note("object", err)
	}
	if !(o.seconds >= 0.5 && o.seconds <= secondsMax) {
		note("seconds", fmt.Errorf("give 0.5 to %d", secondsMax))
	}
	if ext := filepath.Ext(o.plot); o.plot != "" && ext != ".svg" && ext != ".png" {
		note("plot", fmt.Errorf("%q is neither .svg nor .png", o.plot))
	}
	p.Duration = time.Duration(o.seconds * float64(time.Second))
	p.Together, p.Seed = o.together, rand.Uint64()>>32
	if len(errs) == 0 {
		errs = append(errs, s.Check())
	}
	return p, errors.Join(errs...)
}

func newBenchLoopbackCommand() *cobra.Command {
	var kinds, size string
	var asJSON bool
	c := &cobra.Command{
		Use:   "loopback",
		Short: "Measure what bulk over loopback costs",
		Long: `Sends bulk over this host's loopback, each kind of flow alone, and prints Gbit/s and the processor time that both sides spent on a GB (10^9 bytes).
tcp and tls run with CUBIC, whatever this machine's default is.`,
		Example: `  wherry bench loopback --flows overlay:1,tcp:1,tls:1,quic:1 --bytes 4GiB --json`,
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f, errFlows := flows.LoopbackFlows(kinds)
			bytes, errBytes := linkem.ParseBytes(size)
			if err := errors.Join(errFlows, errBytes); err != nil {
				return usageError{err}
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			report, err := flows.RunLoopback(ctx, f, bytes)
			if err != nil {
				return whyStopped(ctx, err)
			}
			if asJSON {
				return printJSON(c, report)
			}
			return report.Table(c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&kinds, "flows", "overlay:1,tcp:1,tls:1,quic:1", "`kinds` of flows with their number: overlay, tcp, tls, quic")
	c.Flags().StringVar(&size, "bytes", "1GiB", "how much each flow sends, as a `size`")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// whyStopped says that somebody ended it, where that is the reason.
func whyStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted: everything that was made is gone")
	}
	return err
}

func printJSON(c *cobra.Command, report any) error {
	e := json.NewEncoder(c.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(report)
}
