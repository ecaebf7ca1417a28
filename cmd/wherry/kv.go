package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/kv"
)

func newKVCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "kv",
		Short: "Look at and change what programs keep in the key-value store",
		Long: `Looks at and changes the key-value store of programs, on the node whose portal is asked: an edge or a control node of a network with control, or the process
of wherry edge or wherry dev. What is written there goes to all nodes.`,
		Args: oneOfItsCommands,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(newKVListCommand(), newKVGetCommand(), newKVPutCommand(), newKVDeleteCommand())
	return c
}

// kvPath is where the portal has a namespace, or a key of it.
func kvPath(namespace string, query url.Values) string {
	path := "/api/kv/" + url.PathEscape(namespace)
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return path
}

func newKVListCommand() *cobra.Command {
	var f operatorFlags
	var prefix, after string
	var limit int
	c := &cobra.Command{
		Use:   "list [NAMESPACE]",
		Short: "List namespaces, or the keys of one",
		Example: `  wherry kv list
  wherry kv list shop --prefix cart/`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), askWait)
			defer cancel()
			o, _, err := f.connect(ctx, nil)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				return listNamespaces(ctx, c.OutOrStdout(), o, f.json)
			}
			query := url.Values{"prefix": {prefix}, "after": {after}, "limit": {fmt.Sprint(limit)}}
			return listKeys(ctx, c.OutOrStdout(), o, f.json, args[0], query)
		},
	}
	f.add(c)
	c.Flags().StringVar(&prefix, "prefix", "", "only keys that begin with this `text`")
	c.Flags().StringVar(&after, "after", "", "only keys that come after this `key`")
	c.Flags().IntVar(&limit, "limit", 100, "at most so many keys, up to 1000")
	return c
}

func listNamespaces(ctx context.Context, w io.Writer, o *operator, asJSON bool) error {
	var list []kv.Usage
	if err := o.call(ctx, http.MethodGet, "/api/kv/", nil, &list); err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(w).Encode(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(w, "no program has kept anything")
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAMESPACE\tKEYS\tSIZE")
	for _, u := range list {
		fmt.Fprintf(t, "%s\t%d\t%s\n", printable(u.Namespace), u.Keys, mebibytes(u.Bytes))
	}
	return t.Flush()
}

func listKeys(ctx context.Context, w io.Writer, o *operator, asJSON bool, namespace string, query url.Values) error {
	var list kv.Listing
	if err := o.call(ctx, http.MethodGet, kvPath(namespace, query), nil, &list); err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(w).Encode(list)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tBYTES\tETAG\tEXPIRES")
	for _, k := range list.Keys {
		expires := "never"
		if k.Expires != nil {
			expires = k.Expires.Format(time.RFC3339)
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\n", k.Path, k.Bytes, k.ETag, expires)
	}
	if err := t.Flush(); err != nil || list.Next == "" {
		return err
	}
	fmt.Fprintf(w, "there are more: --after with the last key shows them\n")
	return nil
}

func newKVGetCommand() *cobra.Command {
	var f operatorFlags
	c := &cobra.Command{
		Use:   "get NAMESPACE KEY",
		Short: "Write the value of a key to standard output",
		Args:  cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			value, err := f.callKV(c.Context(), http.MethodGet, args, nil, nil)
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(value)
			return err
		},
	}
	f.add(c)
	return c
}

func newKVPutCommand() *cobra.Command {
	var f operatorFlags
	var ttl time.Duration
	var absent bool
	var match string
	c := &cobra.Command{
		Use:   "put NAMESPACE KEY [VALUE]",
		Short: "Set a key to VALUE, or to what comes from standard input",
		Example: `  wherry kv put shop banner "closed until noon" --ttl 3h
  wherry kv put shop logo < logo.svg`,
		Args: cobra.RangeArgs(2, 3),
		RunE: func(c *cobra.Command, args []string) error {
			var value []byte
			if len(args) == 3 {
				value = []byte(args[2])
			} else {
				var err error
				if value, err = io.ReadAll(io.LimitReader(c.InOrStdin(), kv.ValueMax+1)); err != nil {
					return err
				}
			}
			header := http.Header{}
			if ttl < 0 {
				return usageError{errors.New("--ttl: give a duration above 0")}
			}
			if ttl > 0 {
				header.Set(kv.TTLField, ttl.String())
			}
			if absent {
				header.Set("If-None-Match", "*")
			}
			if match != "" {
				header.Set("If-Match", `"`+strings.Trim(match, `"`)+`"`)
			}
			_, err := f.callKV(c.Context(), http.MethodPut, args, header, value)
			return err
		},
	}
	f.add(c)
	c.Flags().DurationVar(&ttl, "ttl", 0, "the key goes after this time")
	c.Flags().BoolVar(&absent, "if-absent", false, "only if there is nothing under the key on that node")
	c.Flags().StringVar(&match, "if-match", "", "only if the value there has this `ETag`")
	return c
}

func newKVDeleteCommand() *cobra.Command {
	var f operatorFlags
	c := &cobra.Command{
		Use:   "delete NAMESPACE KEY",
		Short: "Remove a key",
		Args:  cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			_, err := f.callKV(c.Context(), http.MethodDelete, args, nil, nil)
			return err
		},
	}
	f.add(c)
	return c
}

// callKV asks a node about the key that the arguments name, and returns the value that it answers.
func (f *operatorFlags) callKV(ctx context.Context, method string, args []string, header http.Header, value []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	o, _, err := f.connect(ctx, nil)
	if err != nil {
		return nil, err
	}
	if args[1] == "" {
		return nil, usageError{errors.New("the key is empty; wherry kv list shows those that there are")}
	}
	req, err := http.NewRequestWithContext(ctx, method, o.server+kvPath(args[0], url.Values{"key": {args[1]}}), bytes.NewReader(value))
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header
	}
	_, data, err := o.ask(req)
	return data, err
}
