package console

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
)

func newSiteCommand(flags Flags) *cobra.Command {
	return group("site", "List, show and remove sites", newSiteListCommand(flags), newSiteShowCommand(flags), newSiteRemoveCommand(flags))
}

func newSiteListCommand(flags Flags) *cobra.Command {
	var q api.SiteQuery
	c := &cobra.Command{
		Use: "list", Short: "List the sites", Example: "  wherry site list --contains shop --limit 50",
		Args: func(c *cobra.Command, args []string) error {
			if q.Limit < 0 {
				return UsageError{fmt.Errorf("--limit %d: choose 1 or more, or 0 for all", q.Limit)}
			}
			return NoArgs(c, args)
		},
	}
	c.Flags().StringVar(&q.Contains, "contains", "", "only sites with this `text` in their name or in a host")
	c.Flags().StringVar((*string)(&q.After), "after", "", "begin behind this `name`, for the next page")
	c.Flags().IntVar(&q.Limit, "limit", 0, "how many (default: all)")
	return asking(flags, c, func(ctx context.Context, a *asker, _ []string) error {
		sites, err := a.show.Sites(ctx, q)
		if err != nil || a.json {
			return err
		}
		if len(sites) == 0 && q != (api.SiteQuery{}) {
			fmt.Fprintln(a.out, "no site is like that; wherry site list shows all")
			return nil
		}
		if len(sites) == 0 {
			fmt.Fprintln(a.out, "there is no site; wherry apply -f FILE makes one")
			return nil
		}
		var rows [][]string
		for _, s := range sites {
			revision := strconv.FormatUint(s.Revision, 10)
			if s.Candidate != 0 {
				revision += fmt.Sprintf(" → %d", s.Candidate)
			}
			rows = append(rows, []string{string(s.Name), some(s.Hosts, 2), revision, orDash(s.Rollout), a.ago(s.At), s.Author, clip(s.Message, 36)})
		}
		a.table("SITE HOSTS REVISION ROLL-OUT CHANGED BY MESSAGE", rows)
		return nil
	})
}

func newSiteShowCommand(flags Flags) *cobra.Command {
	var revision uint64
	c := &cobra.Command{
		Use: "show SITE", Short: "Print a site as YAML that can be edited and applied", Args: ExactlyOne("name of a site"),
		Long: `Prints a site as it holds, with the line "# revision: N" at its head: wherry apply is then refused if somebody else was faster. With --revision it
prints an earlier one; "network" is the network's settings.`,
		Example: "  wherry site show shop > shop.yaml && vi shop.yaml && wherry apply -f shop.yaml",
	}
	c.Flags().Uint64Var(&revision, "revision", 0, "an earlier `revision` (default: the one that holds)")
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error {
		if revision != 0 || args[0] == networkDocument {
			return a.showRevision(ctx, args[0], revision)
		}
		s, err := a.show.Site(ctx, config.SiteName(args[0]))
		if err == nil && !a.json {
			fmt.Fprint(a.out, ended(withRevision(s.YAML, s.Revision)))
		}
		return err
	})
}

// showRevision prints a revision of a document, the one that holds if it is 0.
func (a *asker) showRevision(ctx context.Context, name string, number uint64) error {
	if number == 0 {
		all, err := a.ask.History(ctx, name)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(r api.Revision) bool { return r.State == "current" })
		if i < 0 {
			return fmt.Errorf("%s has no revision that holds; see wherry history %s", name, name)
		}
		number = all[i].Number
	}
	r, err := a.show.Revision(ctx, name, number)
	if err == nil && !a.json {
		fmt.Fprint(a.out, ended(withRevision(r.YAML, r.Number)))
	}
	return err
}

func newSiteRemoveCommand(flags Flags) *cobra.Command {
	var f applyFlags
	c := &cobra.Command{
		Use: "remove SITE", Short: "Take a site away; its history stays, and rollback brings it back", Args: ExactlyOne("name of a site"),
	}
	c.Flags().StringVarP(&f.message, "message", "m", "", "why, for the history")
	c.Flags().BoolVar(&f.noWait, "no-wait", false, "don't wait for the roll-out")
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error {
		r, err := a.show.RemoveSite(ctx, api.RemoveRequest{Name: config.SiteName(args[0]), Message: f.message})
		if err != nil {
			return err
		}
		return a.applied(ctx, r, &f)
	})
}

func newHistoryCommand(flags Flags) *cobra.Command {
	c := &cobra.Command{
		Use: "history SITE", Short: "List the revisions of a site, newest first", Args: ExactlyOne("name of a site"),
		Long: `Lists the revisions of a site, newest first; "network" is the network's settings.`,
	}
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error {
		all, err := a.show.History(ctx, args[0])
		if err != nil || a.json {
			return err
		}
		var rows [][]string
		for _, r := range all {
			rows = append(rows, []string{strconv.FormatUint(r.Number, 10), r.State, a.ago(r.At), r.Author, clip(r.Message, 50)})
		}
		a.table("REVISION STATE MADE BY MESSAGE", rows)
		return nil
	})
}

func newRollbackCommand(flags Flags) *cobra.Command {
	var f applyFlags
	c := &cobra.Command{
		Use: "rollback SITE [REVISION]", Short: "Make an earlier revision of a site hold again, through a roll-out",
		Long: `Makes a new revision of SITE with the content of an earlier one, by default the one that held before, and rolls it out as wherry apply does. "network"
is the network's settings.`,
		Example: `  wherry rollback shop
  wherry rollback shop 12 --emergency -m 'prices were wrong'`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 2 {
				_, err := parseRevision(args[1])
				return err
			}
			return between(1, 2, "a site, and maybe the number of a revision")(c, args)
		},
	}
	f.addRollout(c)
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error {
		in := api.RollbackRequest{Name: args[0], Message: f.message, Emergency: f.emergency, Wait: f.emergency && !f.noWait}
		if len(args) == 2 {
			var err error
			if in.To, err = parseRevision(args[1]); err != nil {
				return err
			}
		}
		r, err := a.show.Rollback(ctx, in)
		if err != nil {
			return err
		}
		return a.applied(ctx, r, &f)
	})
}

func parseRevision(text string) (uint64, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "#"), 10, 64)
	if err != nil || n == 0 {
		return 0, UsageError{fmt.Errorf("%q is not the number of a revision; wherry history lists them", text)}
	}
	return n, nil
}
