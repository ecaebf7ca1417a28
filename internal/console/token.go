package console

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
)

func newTokenCommand(flags Flags) *cobra.Command {
	return group("token", "Create, list and remove tokens for people and programs", newTokenCreateCommand(flags), newTokenListCommand(flags), newTokenRemoveCommand(flags), newTokenShowCommand(flags))
}

func newTokenCreateCommand(flags Flags) *cobra.Command {
	var can, sites []string
	var life time.Duration
	c := &cobra.Command{
		Use: "create NAME --can VERB", Short: "Create a token and print its secret, which isn't shown again",
		Long: `Creates a token. What it may do is said by verbs: read (look at everything), purge, deploy (read, purge, apply, roll back, steer roll-outs) and admin
(everything). With --site it is for these sites only. The secret alone goes to standard output, once.`,
		Example: `  wherry token create ci-shop --can deploy --site shop --life 2160h > ci.token
  WHERRY_TOKEN=$(wherry token create cms --can purge --site shop) `,
		Args: func(c *cobra.Command, args []string) error {
			if len(can) == 0 {
				return UsageError{errors.New("say what it may do: --can read, purge, deploy or admin")}
			}
			for _, v := range can {
				switch api.Verb(v) {
				case api.Read, api.Purge, api.Deploy, api.Admin:
				default:
					return UsageError{fmt.Errorf("--can %s: there are read, purge, deploy and admin", v)}
				}
			}
			if life < 0 {
				return UsageError{errors.New("--life can't be negative")}
			}
			return ExactlyOne("name of a token")(c, args)
		},
	}
	c.Flags().StringSliceVar(&can, "can", nil, "what it may do: `read,purge,deploy,admin`")
	c.Flags().StringSliceVar(&sites, "site", nil, "the `sites` that it is for (default: all)")
	c.Flags().DurationVar(&life, "life", 0, "how long it is good (default: until it is removed)")
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error {
		in := api.TokenRequest{Name: args[0], Life: life}
		for _, v := range can {
			in.Scope.Verbs = append(in.Scope.Verbs, api.Verb(v))
		}
		for _, s := range sites {
			in.Scope.Sites = append(in.Scope.Sites, config.SiteName(s))
		}
		t, err := a.show.CreateToken(ctx, in)
		if err != nil || a.json {
			return err
		}
		fmt.Fprintf(a.notes, "token %s: %s; keep its secret, it isn't shown again\n", t.Token.Name, scopeText(t.Token.Scope))
		fmt.Fprintln(a.out, t.Secret)
		return nil
	})
}

func scopeText(s api.Scope) string {
	text := "may " + words(s.Verbs)
	if len(s.Sites) > 0 {
		text += " on " + words(s.Sites)
	}
	return text
}

func newTokenListCommand(flags Flags) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the tokens, without their secrets", Args: NoArgs}
	return asking(flags, c, func(ctx context.Context, a *asker, _ []string) error {
		all, err := a.show.Tokens(ctx)
		if err != nil || a.json {
			return err
		}
		var rows [][]string
		for _, t := range all {
			sites, expires := "all", "never"
			if len(t.Scope.Sites) > 0 {
				sites = some(t.Scope.Sites, 3)
			}
			if !t.Expires.IsZero() {
				expires = a.ago(t.Expires)
			}
			rows = append(rows, []string{t.Name, words(t.Scope.Verbs), sites, a.ago(t.Created), t.By, expires})
		}
		a.table("TOKEN CAN SITES CREATED BY EXPIRES", rows)
		return nil
	})
}

func newTokenRemoveCommand(flags Flags) *cobra.Command {
	c := &cobra.Command{Use: "remove NAME", Short: "Take a token away", Args: ExactlyOne("name of a token")}
	return asking(flags, c, func(ctx context.Context, a *asker, args []string) error {
		err := a.show.RemoveToken(ctx, args[0])
		if err == nil && !a.json {
			fmt.Fprintf(a.out, "removed token %s\n", args[0])
		}
		return err
	})
}

func newTokenShowCommand(flags Flags) *cobra.Command {
	c := &cobra.Command{Use: "show", Short: "Say whose the token that is used is, and what it may do", Args: NoArgs}
	return asking(flags, c, func(ctx context.Context, a *asker, _ []string) error {
		self, err := a.show.Self(ctx)
		if err == nil && !a.json {
			fmt.Fprintf(a.out, "token %s: %s\n", self.Name, scopeText(self.Scope))
		}
		return err
	})
}

func newAuditCommand(flags Flags) *cobra.Command {
	var q api.AuditQuery
	var before string
	c := &cobra.Command{
		Use: "audit", Short: "List who changed what, newest first",
		Args: func(c *cobra.Command, args []string) error {
			if q.Limit < 1 || q.Limit > 1000 {
				return UsageError{fmt.Errorf("--limit %d: choose 1 to 1000", q.Limit)}
			}
			if before != "" {
				var err error
				if q.Before, err = time.Parse(time.RFC3339, before); err != nil {
					return UsageError{fmt.Errorf("--before %s: write a time such as 2026-03-01T12:00:00Z", before)}
				}
			}
			return NoArgs(c, args)
		},
		Example: "  wherry audit --subject site/shop",
	}
	c.Flags().IntVar(&q.Limit, "limit", 30, "how many")
	c.Flags().StringVar(&q.Subject, "subject", "", "of this subject, such as `site/shop`")
	c.Flags().StringVar(&before, "before", "", "what was earlier than this `time`, such as 2026-03-01T12:00:00Z")
	c.Flags().StringVar(&q.Actor, "actor", "", "of this token's `name`")
	return asking(flags, c, func(ctx context.Context, a *asker, _ []string) error {
		all, err := a.show.Audit(ctx, q)
		if err != nil || a.json {
			return err
		}
		var rows [][]string
		for _, r := range all {
			rows = append(rows, []string{r.At.UTC().Format("2006-01-02 15:04:05Z"), r.Actor, r.Action, r.Subject, auditText(r)})
		}
		a.table("AT WHO WHAT SUBJECT DETAIL", rows)
		return nil
	})
}

// auditText is what changed, and why.
func auditText(r api.AuditRecord) string {
	var parts []string
	if r.Refused != "" {
		parts = append(parts, "REFUSED: "+clip(r.Refused, 50))
	}
	if r.Before != "" || r.After != "" {
		parts = append(parts, clip(orDash(r.Before), 20)+" → "+clip(orDash(r.After), 20))
	}
	if r.Message != "" {
		parts = append(parts, clip(r.Message, 40))
	}
	return strings.Join(parts, ", ")
}
