package console

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/control/api"
)

// applyFlags are those of apply and of what does the same in another way.
type applyFlags struct {
	files             []string
	message           string
	base              uint64
	emergency, dryRun bool
	noWait            bool
}

func (f *applyFlags) addFiles(c *cobra.Command) {
	c.Flags().StringArrayVarP(&f.files, "file", "f", nil, "a `file` as wherry.yaml or with one site, a folder of such files, or - for standard input; may be repeated")
}

// addRollout adds the flags of all that is rolled out.
func (f *applyFlags) addRollout(c *cobra.Command) {
	c.Flags().StringVarP(&f.message, "message", "m", "", "why, for the history")
	c.Flags().BoolVar(&f.emergency, "emergency", false, "everywhere at once, without phases and without the health gate")
	c.Flags().BoolVar(&f.noWait, "no-wait", false, "don't wait for the roll-out")
}

func newApplyCommand(flags Flags) *cobra.Command {
	var f applyFlags
	c := &cobra.Command{
		Use:   "apply -f FILE|DIR|-",
		Short: "Make sites and settings hold on all nodes, through a roll-out",
		Long: `Checks sites and settings, makes a revision of each that has changed, and rolls them out: to a canary, its cluster, a quarter of the edges,
all. Each phase is watched; what gets worse is taken back by itself. It waits for the roll-out and prints its phases; the exit status is 1 if it was
reverted. Ctrl-C leaves it running.

A file is one as wherry.yaml (without nodes), or one site alone. Files that a site names (certificates, keys, authorities) are read from the folder of
the YAML file and sent along. Secrets of programs that wherry export --secrets has written beside the settings are sent where control hasn't got them, and get
new names.

wherry site show and wherry export write the line "# revision: N" at the head of a site. If another revision holds by then, the apply is refused with the
difference, so that nobody's change is lost. Without the line, and without --base, what holds is replaced.`,
		Example: `  wherry apply -f shop.yaml -m 'cache images for a day'
  wherry export --dir network && vi network/sites/shop.yaml && wherry apply -f network
  wherry apply -f shop.yaml --emergency`,
		Args: func(c *cobra.Command, args []string) error { return f.checkFiles(c, args) },
	}
	f.addFiles(c)
	f.addRollout(c)
	c.Flags().Uint64Var(&f.base, "base", 0, "the `revision` that was edited; 0: the site is new (default: what the file says)")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would change, and change nothing")
	asking(flags, c, func(ctx context.Context, a *asker, _ []string) error {
		documents, err := f.documents(c, a)
		if err != nil {
			return err
		}
		if err := a.sendKept(ctx, documents, f.dryRun); err != nil {
			return err
		}
		r, err := a.show.Apply(ctx, api.ApplyRequest{
			Documents: documents, Message: f.message, Emergency: f.emergency, DryRun: f.dryRun, Wait: f.emergency && !f.noWait,
		})
		if err != nil {
			return err
		}
		if f.dryRun {
			a.printDryRun(r)
			return nil
		}
		return a.applied(ctx, r, &f)
	})
	return c
}

func (f *applyFlags) checkFiles(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return UsageError{fmt.Errorf("%s takes no arguments, but there is %q; write -f before each file", c.CommandPath(), args[0])}
	}
	if len(f.files) == 0 {
		return UsageError{fmt.Errorf("say what: %s -f FILE; - is standard input", c.CommandPath())}
	}
	return nil
}

// documents reads what -f names, with --base.
func (f *applyFlags) documents(c *cobra.Command, a *asker) ([]api.Document, error) {
	documents, err := readDocuments(c.InOrStdin(), f.files, a.notes)
	if err != nil {
		return nil, err
	}
	if c.Flags().Changed("base") {
		if len(documents) > 1 {
			return nil, UsageError{fmt.Errorf("--base is for one site, but there are %d documents; write # revision: N at the head of each", len(documents))}
		}
		documents[0].Base = &f.base
	}
	return documents, nil
}

func newDiffCommand(flags Flags) *cobra.Command {
	var f applyFlags
	c := &cobra.Command{
		Use:   "diff -f FILE|DIR|-",
		Short: "Show what an apply of files would change",
		Long: `Checks the files and prints the difference between what holds and what they say. The exit status is 0 if there is none, 1 if there is one, 2 if
something is wrong.`,
		Example: "  wherry diff -f shop.yaml",
		Args:    func(c *cobra.Command, args []string) error { return f.checkFiles(c, args) },
	}
	f.addFiles(c)
	asking(flags, c, func(ctx context.Context, a *asker, _ []string) error {
		different, err := f.diff(ctx, c, a)
		switch {
		case err != nil:
			return trouble{err}
		case different:
			return ErrReported
		}
		return nil
	})
	return c
}

// trouble makes err one that ends with status 2.
type trouble struct{ error }

func (t trouble) Is(target error) bool { return target == ErrTrouble }
func (t trouble) Unwrap() error        { return t.error }

func (f *applyFlags) diff(ctx context.Context, c *cobra.Command, a *asker) (different bool, err error) {
	documents, err := readDocuments(c.InOrStdin(), f.files, a.notes)
	if err != nil {
		return false, err
	}
	if err := a.sendKept(ctx, documents, true); err != nil {
		return false, err
	}
	r, err := a.show.Apply(ctx, api.ApplyRequest{Documents: documents, DryRun: true})
	if err != nil {
		return false, err
	}
	for _, d := range r.Documents {
		different = different || d.Changed
		if d.Changed && !a.json {
			fmt.Fprint(a.out, ended(d.Diff))
		}
	}
	return different, nil
}

// ended is text with a line end at its end.
func ended(text string) string {
	if text == "" || strings.HasSuffix(text, "\n") {
		return text
	}
	return text + "\n"
}

func (a *asker) printDryRun(r api.ApplyResult) {
	if a.json {
		return
	}
	for _, d := range r.Documents {
		switch {
		case !d.Changed:
			fmt.Fprintf(a.out, "%s: no change, revision %d\n", d.Name, d.Before)
		case d.Before == 0:
			fmt.Fprintf(a.out, "%s: would be new\n", d.Name)
		default:
			fmt.Fprintf(a.out, "%s: would replace revision %d\n", d.Name, d.Before)
		}
		fmt.Fprint(a.out, ended(d.Diff))
	}
	a.warn(r.Warnings)
	fmt.Fprintln(a.out, "nothing was changed: --dry-run")
}

func (a *asker) warn(warnings []string) {
	for _, w := range warnings {
		fmt.Fprintln(a.notes, "warning:", w)
	}
}

// applied prints the result of an apply, or of what does the same, and waits for its roll-outs.
func (a *asker) applied(ctx context.Context, r api.ApplyResult, f *applyFlags) error {
	if !a.json {
		for _, d := range r.Documents {
			fmt.Fprintln(a.out, appliedText(d))
		}
		a.warn(r.Warnings)
		if len(r.Serving)+len(r.Away) > 0 {
			fmt.Fprintf(a.out, "served by %s after %s\n", plural(len(r.Serving), "edge"), took(r.Took))
		}
		if len(r.Away) > 0 {
			fmt.Fprintf(a.out, "away, and will get it when they are back: %s\n", words(r.Away))
		}
	}
	if f.noWait {
		for _, id := range r.Rollouts {
			fmt.Fprintf(a.notes, "roll-out %s is under way; follow it: wherry rollout status %s\n", id, id)
		}
		return nil
	}
	var errs []error
	for _, id := range r.Rollouts {
		errs = append(errs, a.follow(ctx, id))
	}
	return errors.Join(errs...)
}

func appliedText(d api.Applied) string {
	switch {
	case !d.Changed:
		return fmt.Sprintf("%s: no change, revision %d", d.Name, d.Before)
	case d.Revision == 0:
		return fmt.Sprintf("%s: removed, was revision %d", d.Name, d.Before)
	case d.Before == 0:
		return fmt.Sprintf("%s: revision %d, new", d.Name, d.Revision)
	}
	return fmt.Sprintf("%s: revision %d, was %d", d.Name, d.Revision, d.Before)
}
