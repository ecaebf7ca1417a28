package console

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
)

// purgeFlags say what is purged.
type purgeFlags struct {
	prefix, tag, site string
	all, soft         bool
	wait              time.Duration
}

func newPurgeCommand(flags Flags) *cobra.Command {
	var f purgeFlags
	c := &cobra.Command{
		Use:   "purge URL | --prefix URL | --tag TAG [--site SITE] | --site SITE | --all",
		Short: "Remove what is stored for a URL, a prefix, a tag or a site from every edge",
		Long: `Says what caches may not use any more: one URL with all its variants, as http and as https; all URLs that begin with a prefix; what was
answered with a tag (Cache-Tag, Surrogate-Key, Cache-Groups); a whole site; or everything. What a fetch that is under way would store is included.

It returns when every live edge has confirmed it, with the time that took. Edges that are away are listed: they catch up before they serve from
their store. The exit status is 1 if an edge that is there didn't confirm in time.

With --soft what is stored becomes stale instead: it is asked for again, and may be served meanwhile where the site allows that.`,
		Example: `  wherry purge http://shop.test/logo.svg
  wherry purge --prefix http://shop.test/img/
  wherry purge --tag product-17 --site shop`,
		Args: func(c *cobra.Command, args []string) error {
			_, err := f.purge(args)
			return err
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.prefix, "prefix", "", "all that begins with this `URL`")
	fl.StringVar(&f.tag, "tag", "", "all that was answered with this `tag`")
	fl.StringVar(&f.site, "site", "", "all of this `site`, or what of it has --tag")
	fl.BoolVar(&f.all, "all", false, "everything on all edges: their origins get all requests then")
	fl.BoolVar(&f.soft, "soft", false, "make it stale instead of removing it")
	fl.DurationVar(&f.wait, "wait", 10*time.Second, "how long to wait for confirmations, at most `10m`")
	return askingAbout(flags, c, f.about, func(ctx context.Context, a *asker, args []string) error { return runPurge(ctx, a, &f, args) })
}

// purge returns what is to be purged.
func (f *purgeFlags) purge(args []string) (p feed.Purge, err error) {
	p.Soft = f.soft
	var chosen []string
	choose := func(what string, kind feed.PurgeKind, value string) {
		chosen = append(chosen, what)
		p.Kind, p.Value = kind, value
	}
	if f.site != "" {
		p.Site = config.SiteName(f.site)
		if f.tag == "" {
			choose("--site", feed.PurgeSite, "")
		}
	}
	for _, raw := range args {
		choose("a URL", feed.PurgeURL, raw)
	}
	if f.prefix != "" {
		choose("--prefix", feed.PurgePrefix, f.prefix)
	}
	if f.tag != "" {
		choose("--tag", feed.PurgeTag, f.tag)
	}
	if f.all {
		choose("--all", feed.PurgeAll, "")
	}
	switch {
	case len(chosen) == 0:
		return p, UsageError{errors.New("say what: wherry purge URL, or --prefix, --tag, --site or --all")}
	case len(chosen) > 1:
		return p, UsageError{fmt.Errorf("%s: choose one; only --tag and --site go together", strings.Join(chosen, " and "))}
	case f.wait <= 0 || f.wait > 10*time.Minute:
		return p, UsageError{fmt.Errorf("--wait %s: choose up to 10m", f.wait)}
	case p.Kind == feed.PurgeURL || p.Kind == feed.PurgePrefix:
		_, err = ParseTarget(p.Value)
	}
	return p, err
}

// about returns the URL that tells which of several networks on this machine is meant.
func (f *purgeFlags) about(args []string) (*url.URL, error) {
	p, err := f.purge(args)
	if err != nil || p.Kind != feed.PurgeURL && p.Kind != feed.PurgePrefix {
		return nil, err
	}
	return ParseTarget(p.Value)
}

func runPurge(ctx context.Context, a *asker, f *purgeFlags, args []string) error {
	p, err := f.purge(args)
	if err != nil {
		return err
	}
	r, err := a.show.Purge(ctx, api.PurgeRequest{Purge: p, Wait: f.wait})
	if err != nil {
		return err
	}
	if !a.json {
		a.printPurge(r)
	}
	if len(r.Pending) > 0 {
		return fmt.Errorf("%s didn't confirm within %s: %s; they may still serve it. It is in the feed and reaches them by itself: look at wherry status",
			plural(len(r.Pending), "edge"), f.wait, words(r.Pending))
	}
	return nil
}

func (a *asker) printPurge(r api.PurgeResult) {
	done := "purged"
	if r.Purge.Soft {
		done = "made stale"
	}
	fmt.Fprintf(a.out, "%s %s: confirmed by %s in %s", done, purgeText(r.Purge), plural(len(r.Confirmed), "edge"), took(r.Took))
	const listed = 4
	if n := len(r.Confirmed); n > 0 && n <= listed {
		var each []string
		for _, c := range r.Confirmed {
			each = append(each, fmt.Sprintf("%s: %s", c.Node, took(c.Took)))
		}
		fmt.Fprintf(a.out, " (%s)", strings.Join(each, ", "))
	} else if n > listed {
		slowest := r.Confirmed[0]
		for _, c := range r.Confirmed {
			if c.Took > slowest.Took {
				slowest = c
			}
		}
		fmt.Fprintf(a.out, " (the last: %s)", slowest.Node)
	}
	fmt.Fprintln(a.out)
	if len(r.Away) > 0 {
		fmt.Fprintf(a.out, "away, and will catch up before they serve: %s\n", words(r.Away))
	}
}

// purgeText names what was purged.
func purgeText(p feed.Purge) string {
	switch p.Kind {
	case feed.PurgeURL:
		return p.Value
	case feed.PurgePrefix:
		return p.Value + "…"
	case feed.PurgeTag:
		if p.Site != "" {
			return fmt.Sprintf("the tag %s of site %s", p.Value, p.Site)
		}
		return "the tag " + p.Value
	case feed.PurgeSite:
		return "site " + string(p.Site)
	}
	return "everything"
}
