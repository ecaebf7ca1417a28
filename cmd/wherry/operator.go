package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/internal/console"
	"github.com/wherry/wherry/portal"
)

// operator talks to the portal of a network in the name of its operator.
type operator struct {
	server, token string
	client        *http.Client
}

// operatorFlags are those of all commands that talk to a network.
type operatorFlags struct {
	server, token, ca string
	json              bool
}

func (f *operatorFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.server, "server", strings.TrimSpace(os.Getenv("WHERRY_SERVER")),
		"the portal's `URL` (default: $WHERRY_SERVER, else the network that runs on this machine)")
	c.Flags().StringVar(&f.token, "token-file", "",
		"`file` with the operator's token (default: $WHERRY_TOKEN, else that of the network that runs on this machine)")
	c.Flags().StringVar(&f.ca, "ca-file", os.Getenv("WHERRY_CA"),
		"`file` with the authority that signed the portal's certificate (default: $WHERRY_CA, else the system's)")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
}

// connect returns the operator of the network that target belongs to, and the network's state.
func (f *operatorFlags) connect(ctx context.Context, target *url.URL) (*operator, *portal.Status, error) {
	if f.server == "" && f.token == "" {
		return findRunning(ctx, target)
	}
	o, err := f.named()
	if err != nil {
		return nil, nil, err
	}
	st, err := o.status(ctx)
	return o, st, err
}

// consoleFlags adds the flags to a command of the console, which says itself how long it waits.
func consoleFlags(c *cobra.Command) (find console.Find, json *bool) {
	f := &operatorFlags{}
	f.add(c)
	return func(ctx context.Context, target *url.URL) (string, string, *http.Client, error) {
		o, err := f.named()
		if f.server == "" && f.token == "" {
			o, _, err = findRunning(ctx, target)
		}
		if err != nil {
			return "", "", nil, err
		}
		o.client.Timeout = 0
		return o.server, o.token, o.client, nil
	}, &f.json
}

// named returns the operator that flags and environment name.
func (f *operatorFlags) named() (*operator, error) {
	token := strings.TrimSpace(os.Getenv("WHERRY_TOKEN"))
	if f.token != "" {
		data, err := os.ReadFile(f.token)
		if err != nil {
			return nil, fmt.Errorf("operator's token: %w", err)
		}
		token = strings.TrimSpace(string(data))
	}
	if f.server == "" || token == "" {
		return nil, usageError{errors.New("say both where the portal is (--server or WHERRY_SERVER) and who you are (--token-file or WHERRY_TOKEN)")}
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, usageError{errors.New("the token has spaces, lines or other characters that no token has (--token-file or WHERRY_TOKEN)")}
	}
	if err := checkServer(f.server); err != nil {
		return nil, err
	}
	o := newOperator(f.server, token)
	if f.ca == "" {
		return o, nil
	}
	pem, err := os.ReadFile(f.ca)
	if err != nil {
		return nil, fmt.Errorf("authority of the portal (--ca-file or WHERRY_CA): %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, usageError{fmt.Errorf("%s has no certificate in PEM (--ca-file or WHERRY_CA)", f.ca)}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	o.client.Transport = transport
	return o, nil
}

// checkServer says what is wrong with the portal's URL.
func checkServer(server string) error {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return usageError{fmt.Errorf("%q is not where a portal is (--server or WHERRY_SERVER): write a URL, such as http://127.0.0.1:8088",
			server)}
	}
	return nil
}

func newOperator(server, token string) *operator {
	return &operator{strings.TrimSuffix(server, "/"), token, &http.Client{Timeout: 30 * time.Second}}
}

// findRunning looks through the processes that run on this machine: the one that serves target's address, else the only one whose
// sites claim target's host by name, else the only one. target may be nil.
func findRunning(ctx context.Context, target *url.URL) (*operator, *portal.Status, error) {
	all, err := runningProcesses()
	if err != nil {
		return nil, nil, err
	}
	type found struct {
		o  *operator
		st *portal.Status
	}
	var reached, claiming []found
	for _, r := range all {
		o := newOperator(r.Server, r.Token)
		st, err := o.status(ctx)
		if err != nil {
			continue // starting, stopping, or another user's in the same folder
		}
		if target == nil {
			reached = append(reached, found{o, st})
			continue
		}
		if _, ok := edgeAt(st, target); ok {
			return o, st, nil
		}
		reached = append(reached, found{o, st})
		if claims(st, target) {
			claiming = append(claiming, found{o, st})
		}
	}
	switch {
	case len(reached) == 0:
		return nil, nil, errors.New("no wherry runs on this machine; start one with wherry dev, or name another machine's with --server and --token-file")
	case len(claiming) == 1:
		return claiming[0].o, claiming[0].st, nil
	case len(reached) == 1:
		return reached[0].o, reached[0].st, nil
	}
	if target == nil {
		return nil, nil, fmt.Errorf("%d networks run on this machine; say which one with --server and --token-file", len(reached))
	}
	return nil, nil, fmt.Errorf("%d networks run on this machine and none alone serves %s; say which one with --server and --token-file",
		len(reached), target.Host)
}

// claims says whether a site claims target's host by a name or a suffix.
func claims(st *portal.Status, target *url.URL) bool {
	host := config.CanonicalHost(target.Host)
	return slices.ContainsFunc(st.Sites, func(s portal.Site) bool {
		return slices.ContainsFunc(s.Hosts, func(p config.HostPattern) bool { return p.Matches(host) })
	})
}

// edgeAt returns the edge that listens at target's address.
func edgeAt(st *portal.Status, target *url.URL) (*portal.Node, bool) {
	for i := range st.Clusters {
		for j := range st.Clusters[i].Nodes {
			n := &st.Clusters[i].Nodes[j]
			address := n.HTTP
			if target.Scheme == "https" {
				address = n.HTTPS
			}
			if address != "" && sameAddress(address, target) {
				return n, true
			}
		}
	}
	return nil, false
}

// sameAddress compares what a node listens at with the authority of a URL, where localhost is 127.0.0.1 and an unspecified
// address is all of this machine's.
func sameAddress(listens string, target *url.URL) bool {
	host, port, err := net.SplitHostPort(listens)
	if err != nil || port != portOf(target) {
		return false
	}
	asked := target.Hostname()
	if asked == "localhost" {
		asked = "127.0.0.1"
	}
	ip := net.ParseIP(host)
	return host == asked || ip != nil && ip.IsUnspecified() && net.ParseIP(asked) != nil
}

func portOf(u *url.URL) string {
	switch port := u.Port(); {
	case port != "":
		return port
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

func (o *operator) status(ctx context.Context) (*portal.Status, error) {
	var st portal.Status
	if err := o.call(ctx, http.MethodGet, "/api/status", nil, &st); err != nil {
		return nil, err
	}
	if st.Revision == "" {
		return nil, o.noPortal("200 OK, but no state of a network")
	}
	return &st, nil
}

// noPortal is the error that something else answers where the portal should, such as an edge or the origin behind it.
func (o *operator) noPortal(answer string) error {
	return fmt.Errorf("what answers at %s is no portal (%s); say with --server or WHERRY_SERVER what listen.portal is there",
		o.server, answer)
}

// apiError is a problem that the API answered with.
type apiError struct {
	status int
	text   string
}

func (e *apiError) Error() string { return e.text }

// call asks the API and decodes its answer into out. Its errors are those that the API gives people.
func (o *operator) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, o.server+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, data, err := o.ask(req)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, out); err != nil {
		return o.noPortal(resp.Status + ", " + cmp.Or(resp.Header.Get("Content-Type"), "no Content-Type"))
	}
	return nil
}

// ask sends a request in the operator's name, and returns the response with its content. Its errors are those that the API gives people.
func (o *operator) ask(req *http.Request) (*http.Response, []byte, error) {
	req.Header.Set("Authorization", "Bearer "+o.token)
	resp, err := o.client.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil, fmt.Errorf("no portal listens at %s; is wherry running there, and is its listen.portal not off?", o.server)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("portal: %w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return nil, nil, fmt.Errorf("portal: %w", err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, data, nil
	}
	var problem struct{ Title, Detail, Action string }
	if json.Unmarshal(data, &problem) == nil && problem.Title != "" {
		return nil, nil, &apiError{resp.StatusCode, strings.Join(strings.Fields(problem.Title+": "+problem.Detail+" "+problem.Action), " ")}
	}
	return nil, nil, o.noPortal(resp.Status)
}
