package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/control/api"
)

// Find finds whom to ask. target is a URL that the network serves, or nil.
type Find func(ctx context.Context, target *url.URL) (server, token string, client *http.Client, err error)

// Flags adds the flags that say whom to ask to a command; what they hold is known when it runs.
type Flags func(c *cobra.Command) (find Find, json *bool)

// Commands are the commands that ask control, or as much of it as a process has.
func Commands(flags Flags) []*cobra.Command {
	return []*cobra.Command{
		newStatusCommand(flags), newApplyCommand(flags), newDiffCommand(flags), newHistoryCommand(flags), newRollbackCommand(flags), newRolloutCommand(flags), newExportCommand(flags),
		newSiteCommand(flags), newPurgeCommand(flags), newNodeCommand(flags), newTokenCommand(flags), newAuditCommand(flags), newUpgradeCommand(flags), newControlCommand(flags),
		newPathCommand(flags), newTunnelCommand(flags), newOverlayCommand(flags),
	}
}

// asker is what a command that asks the API has.
type asker struct {
	ask   *api.Client // for what isn't the answer itself
	show  *api.Client // for the answer: with --json it is printed as it comes
	json  bool
	out   io.Writer
	notes io.Writer // for what isn't part of the answer
	now   time.Time
}

// asking makes c a command that asks the API.
func asking(flags Flags, c *cobra.Command, run func(ctx context.Context, a *asker, args []string) error) *cobra.Command {
	return askingAbout(flags, c, func([]string) (*url.URL, error) { return nil, nil }, run)
}

// askingAbout makes c a command that asks the API of the network that serves what it is about, if no other is named.
func askingAbout(flags Flags, c *cobra.Command, about func(args []string) (*url.URL, error),
	run func(ctx context.Context, a *asker, args []string) error,
) *cobra.Command {
	find, json := flags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		target, err := about(args)
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt)
		defer stop()
		server, token, client, err := find(ctx, target)
		if err != nil {
			return err
		}
		a := &asker{json: *json, out: c.OutOrStdout(), notes: c.ErrOrStderr(), now: time.Now()}
		a.ask = &api.Client{Server: server, Token: token, HTTP: client}
		a.show = &api.Client{Server: server, Token: token, HTTP: client}
		if a.json {
			a.show.Answer = a.out
		}
		err = run(ctx, a, args)
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return errors.New("interrupted; what was asked for may still happen: look at wherry status")
		}
		return err
	}
	return c
}

// group is a command that only has others below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use, Short: short, Args: OneOfItsCommands,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(below...)
	return c
}

// table prints rows below a head in columns, without spaces at the ends of lines.
func (a *asker) table(head string, rows [][]string) {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.ReplaceAll(head, " ", "\t"))
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	_ = t.Flush()
	for line := range strings.Lines(b.String()) {
		fmt.Fprintln(a.out, strings.TrimRight(line, " \n"))
	}
}

// ago is how long something is past, for people.
func (a *asker) ago(t time.Time) string {
	switch d := a.now.Sub(t); {
	case t.IsZero():
		return "never"
	case d < 0:
		return "in " + span(-d)
	default:
		return span(d) + " ago"
	}
}

// span is a duration in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// took is how long something has taken.
func took(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < 10*time.Millisecond:
		return d.Round(time.Millisecond / 10).String()
	case d < 10*time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// words joins names, sorted.
func words[T ~string](names []T) string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = string(name)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// some joins what of names fits into a column, and says how many more there are.
func some[T ~string](names []T, most int) string {
	if len(names) <= most {
		return words(names)
	}
	sorted := slices.Sorted(slices.Values(names))
	return fmt.Sprintf("%s and %d more", words(sorted[:most]), len(names)-most)
}

// clip keeps text on one line in a column.
func clip(text string, most int) string {
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
