package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/internal/program/lines"
	"github.com/wherry/wherry/portal"
)

// askWait is how long a node may take to answer one of these commands.
const askWait = 30 * time.Second

func newProgramCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "program",
		Short: "Run Linux programs in virtual machines, and look at those of a node",
		Args:  oneOfItsCommands,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newProgramTopCommand(), newProgramInspectCommand(), newProgramLogsCommand())
	c.AddCommand(lines.Commands()...)
	return c
}

func newProgramTopCommand() *cobra.Command {
	var f operatorFlags
	var every time.Duration
	c := &cobra.Command{
		Use:   "top",
		Short: "Show the programs of a node that runs, those that use most CPU time first",
		Example: `  wherry program top
  wherry program top --every 2s`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if every < 0 || every > 0 && every < 100*time.Millisecond {
				return usageError{errors.New("--every: give 100ms or more")}
			}
			for {
				if err := programTop(c.Context(), c.OutOrStdout(), &f); err != nil || every == 0 {
					return err
				}
				select {
				case <-c.Context().Done():
					return nil
				case <-time.After(every):
				}
			}
		},
	}
	f.add(c)
	c.Flags().DurationVar(&every, "every", 0, "show them again each so often, until it is interrupted")
	return c
}

func programTop(ctx context.Context, w io.Writer, f *operatorFlags) error {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	_, st, err := f.connect(ctx, nil)
	if err != nil {
		return err
	}
	slices.SortStableFunc(st.Programs, func(a, b portal.Program) int { return cmp.Compare(b.CPU, a.CPU) })
	if f.json {
		return json.NewEncoder(w).Encode(append([]portal.Program{}, st.Programs...))
	}
	if len(st.Programs) == 0 {
		fmt.Fprintln(w, "this node has no programs; write them below `programs` in its configuration")
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "PROGRAM\tTENANT\tCALLS\tFAILED\tCPU\tCPU/CALL\tREADY\tBUSY\tCOLD\tEVICTED\tMEMORY\t")
	for i := range st.Programs {
		p := &st.Programs[i]
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%v\t%v\t%d\t%d\t%d\t%d\t%s\t\n", p.Name, p.Tenant, p.Calls, p.Failed(), p.CPU.Round(time.Millisecond),
			p.CallCPU(), p.Ready, p.Busy, p.ColdStarts, p.Evictions, mebibytes(p.MemoryBytes))
	}
	return t.Flush()
}

// mebibytes is a size for people.
func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

func newProgramInspectCommand() *cobra.Command {
	var f operatorFlags
	c := &cobra.Command{
		Use:   "inspect NAME",
		Short: "Show all that a node knows of one of its programs",
		Args:  exactlyOne("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), askWait)
			defer cancel()
			_, st, err := f.connect(ctx, nil)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(st.Programs, func(p portal.Program) bool { return p.Name == args[0] })
			if i < 0 {
				return fmt.Errorf("there is no program %q on this node; wherry program top shows those that there are", args[0])
			}
			if f.json {
				return json.NewEncoder(c.OutOrStdout()).Encode(st.Programs[i])
			}
			return printProgram(c.OutOrStdout(), &st.Programs[i])
		},
	}
	f.add(c)
	return c
}

func printProgram(w io.Writer, p *portal.Program) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	l := &p.Limits
	fmt.Fprintf(t, "program\t%s\ntenant\t%s\nimage\t%s\nconfigured as\t%s\nmachine\t%s\nisolation\t%s\n", p.Name, p.Tenant, p.Image, p.From, p.Machine, p.Isolation)
	if p.Files > 0 {
		fmt.Fprintf(t, "files\t%d, %s in them\n", p.Files, mebibytes(p.FileBytes))
	}
	fmt.Fprintf(t, "limits\tcpu %v, wall %v, memory %v, input %v, output %v, concurrency %d, subrequests %d, idle %v\n",
		l.CPU, l.Wall, config.Size(l.Memory), config.Size(l.Input), config.Size(l.Output), l.Concurrency, l.Subrequests, l.Idle)
	fmt.Fprintf(t, "variables\t%s\nsecrets\t%s\n", cmp.Or(strings.Join(p.Variables, ", "), "none"), cmp.Or(strings.Join(p.Secrets, ", "), "none"))
	fmt.Fprintf(t, "boot\t%v of CPU time from the image to the first read of input\n", p.Boot.Round(time.Microsecond))
	fmt.Fprintf(t, "snapshot\t%s, from which an instance starts in %v\n", mebibytes(p.SnapshotBytes), p.Start.Round(time.Microsecond))
	fmt.Fprintf(t, "memory\t%s, with %d instances ready and %d busy\n", mebibytes(p.MemoryBytes), p.Ready, p.Busy)
	fmt.Fprintf(t, "calls\t%d, %v of CPU time, %d waited for a start\n", p.Calls, p.CPU.Round(time.Microsecond), p.ColdStarts)
	fmt.Fprintf(t, "failed\t%s\n", tallyText(p.Errors))
	fmt.Fprintf(t, "resets\t%d, of %d pages\n", p.Resets, p.DirtyPages)
	fmt.Fprintf(t, "exits\t%s\n", tallyText(p.Exits))
	fmt.Fprintf(t, "page faults\t%d\nevictions\t%d\n", p.Faults, p.Evictions)
	fmt.Fprintf(t, "confinement\t%s\n", p.Confinement)
	fmt.Fprintf(t, "monitor\tstarted again %d times\n", p.MonitorRestarts)
	return t.Flush()
}

// tallyText is counts by name, in the order of the names.
func tallyText(counts map[string]uint64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

func newProgramLogsCommand() *cobra.Command {
	var f operatorFlags
	c := &cobra.Command{
		Use:   "logs NAME",
		Short: "Show the last lines that a program of a node has written to standard error",
		Args:  exactlyOne("NAME"),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), askWait)
			defer cancel()
			o, _, err := f.connect(ctx, nil)
			if err != nil {
				return err
			}
			var lines []portal.ProgramLine
			if err := o.call(ctx, http.MethodGet, "/api/programs/"+url.PathEscape(args[0])+"/log", nil, &lines); err != nil {
				return err
			}
			if f.json {
				return json.NewEncoder(c.OutOrStdout()).Encode(lines)
			}
			for _, line := range lines {
				fmt.Fprintf(c.OutOrStdout(), "%s %s\n", line.At.Format(time.RFC3339), printable(line.Text))
			}
			return nil
		},
	}
	f.add(c)
	return c
}

// printable is a program's line without what would steer a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, s)
}
