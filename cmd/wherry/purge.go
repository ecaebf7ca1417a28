package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
)

func newPurgeCommand() *cobra.Command {
	var f operatorFlags
	c := &cobra.Command{
		Use:   "purge URL",
		Short: "Remove what is stored for a URL from every edge",
		Long: `Removes what is stored for URL from every edge of the process that it asks: all its variants, as http and as https, and with
what a fetch that is under way would store. It returns when every edge has done it. wherry dev is one process; where nodes run in
processes of their own, run it for each with --server.`,
		Example: "  wherry purge http://127.0.0.1:8080/logo.svg",
		Args:    exactlyOne("URL"),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
			defer cancel()
			return runPurge(ctx, c.OutOrStdout(), &f, args[0])
		},
	}
	f.add(c)
	return c
}

func runPurge(ctx context.Context, stdout io.Writer, f *operatorFlags, raw string) error {
	target, err := parseTarget(raw)
	if err != nil {
		return err
	}
	o, _, err := f.connect(ctx, target)
	if err != nil {
		return err
	}
	var result api.PurgeResult
	request := api.PurgeRequest{Purge: feed.Purge{Kind: feed.PurgeURL, Value: raw}}
	if err := o.call(ctx, http.MethodPost, "/api/v1/purges", request, &result); err != nil {
		return err
	}
	if f.json {
		return json.NewEncoder(stdout).Encode(result)
	}
	nodes := make([]string, 0, len(result.Confirmed))
	for _, n := range result.Confirmed {
		nodes = append(nodes, string(n.Node))
	}
	fmt.Fprintf(stdout, "purged %s in %s (%s)\n", raw, result.Took.Round(time.Millisecond/10), strings.Join(nodes, ", "))
	return nil
}
