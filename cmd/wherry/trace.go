package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/internal/console"
	"github.com/wherry/wherry/portal"
	"github.com/wherry/wherry/trace"
)

func newTraceCommand() *cobra.Command {
	var f operatorFlags
	var method string
	var fields []string
	c := &cobra.Command{
		Use:   "trace URL",
		Short: "Send a request and print the steps that it went through, with times and decisions",
		Long: `Sends a request for URL to the network and prints what each room decided about it: which site and rule it met,
whether it was a hit and why, what was asked of which origin, what was stored for how long or why not.

The words are those of Cache-Status, the access log and the metrics. The request goes to the edge that listens at
URL's address, or, where URL names a site's host, to the network's first edge.`,
		Example: `  wherry trace http://127.0.0.1:8080/
  wherry trace https://shop.test/logo.svg -H 'Accept-Language: pt'`,
		Args: exactlyOne("URL"),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
			defer cancel()
			return runTrace(ctx, c.OutOrStdout(), &f, method, fields, args[0])
		},
	}
	f.add(c)
	c.Flags().StringVarP(&method, "method", "X", http.MethodGet, "the request's `method`")
	c.Flags().StringArrayVarP(&fields, "header", "H", nil, "a header field of the request, `'Name: value'`; may be repeated")
	return c
}

func runTrace(ctx context.Context, stdout io.Writer, f *operatorFlags, method string, fields []string, raw string) error {
	target, err := console.ParseTarget(raw)
	if err != nil {
		return err
	}
	o, st, err := f.connect(ctx, target)
	if err != nil {
		return err
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	traceID := hex.EncodeToString(id[:])
	req, err := http.NewRequestWithContext(ctx, method, target.String(), nil)
	if err != nil {
		return usageError{err}
	}
	for _, field := range fields {
		name, value, ok := strings.Cut(field, ":")
		if !ok {
			return usageError{fmt.Errorf("--header %q: write 'Name: value'", field)}
		}
		if name, value = strings.TrimSpace(name), strings.TrimSpace(value); strings.EqualFold(name, "Host") {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	req.Header.Set(trace.Field, trace.Credential(o.token, traceID, time.Now()))
	sent, broken := o.send(req, st)
	report, err := o.report(ctx, traceID)
	if err != nil {
		return errors.Join(broken, err)
	}
	if f.json {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		return errors.Join(e.Encode(report), broken)
	}
	printTrace(stdout, report, sent)
	return broken
}

// send sends req to an edge of the network and reads the response to its end. If it breaks off on the way, there is an error
// beside it.
func (o *operator) send(req *http.Request, st *portal.Status) (*http.Response, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if pem, err := os.ReadFile(st.CAFile); err == nil {
		pool.AppendCertsFromPEM(pem)
	}
	transport := &http.Transport{
		TLSClientConfig:    &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:  true,
		DisableCompression: true,
		DialContext:        o.dialEdge(st, req.URL),
	}
	defer transport.CloseIdleConnections()
	req.Header["User-Agent"] = []string{"wherry-trace"}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return resp, fmt.Errorf("response body: %w", err)
	}
	return resp, nil
}

// dialEdge connects to the edge at target's address, or to the network's first one where that is a site's name.
func (o *operator) dialEdge(st *portal.Status, target *url.URL) func(context.Context, string, string) (net.Conn, error) {
	at := ""
	if _, ok := edgeAt(st, target); !ok {
		at = o.firstEdge(st, target.Scheme)
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if at != "" {
			address = at
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

// firstEdge returns where the network's first edge can be reached: one that listens at all addresses of its machine, at that of
// the portal; "" if there is none.
func (o *operator) firstEdge(st *portal.Status, scheme string) string {
	for _, c := range st.Clusters {
		for _, n := range c.Nodes {
			address := n.HTTP
			if scheme == "https" {
				address = n.HTTPS
			}
			host, port, err := net.SplitHostPort(address)
			if err != nil {
				continue // that door is closed, or in another process
			}
			if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
				if server, err := url.Parse(o.server); err == nil {
					host = server.Hostname()
				}
			}
			return net.JoinHostPort(host, port)
		}
	}
	return ""
}

// report fetches the report of a trace. The edge writes it right after the response, so it may be a moment late.
func (o *operator) report(ctx context.Context, id string) (*trace.Report, error) {
	const tries, pause = 20, 50 * time.Millisecond
	var lastErr error
	for range tries {
		var r trace.Report
		if lastErr = o.call(ctx, http.MethodGet, "/api/traces/"+id, nil, &r); lastErr == nil {
			return &r, nil
		}
		var answered *apiError
		if !errors.As(lastErr, &answered) || answered.status != http.StatusNotFound {
			return nil, lastErr // which waiting doesn't mend
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
	return nil, fmt.Errorf("the response came, but no edge of this network has traced it; did the request go to another one? %w", lastErr)
}

func printTrace(w io.Writer, r *trace.Report, resp *http.Response) {
	fmt.Fprintf(w, "%s %s\nnode %s", r.Method, r.URL, r.Node)
	if r.Site != "" {
		fmt.Fprintf(w, ", site %s", r.Site)
	}
	fmt.Fprint(w, "\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range r.Steps {
		fmt.Fprintf(t, "%10s\t%s\t%s\t%s\n", s.At.Round(time.Microsecond), s.Room, s.Step, s.Decision)
	}
	_ = t.Flush()
	if r.Dropped > 0 {
		fmt.Fprintf(w, "… and %d more steps\n", r.Dropped)
	}
	if resp == nil {
		return // it broke off before its header section
	}
	fmt.Fprintf(w, "\n%s %s\n", resp.Proto, resp.Status)
	for _, name := range []string{"Cache-Status", "Age", "Cache-Control", "Etag", "Last-Modified", "Vary", "Proxy-Status"} {
		for _, line := range resp.Header.Values(name) {
			fmt.Fprintf(w, "%s: %s\n", name, line)
		}
	}
}
