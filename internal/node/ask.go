package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wherry/wherry/control"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/internal/node/assembly"
	"github.com/wherry/wherry/internal/node/collect"
	"github.com/wherry/wherry/mesh"
)

// What is read of an answer.
const (
	answerMax = 64 << 20
	errorMax  = 4 << 10
	askWithin = 30 * time.Second
)

func decode(r io.Reader, into any) error {
	return json.NewDecoder(io.LimitReader(r, answerMax)).Decode(into)
}

// controls are where control is, those of the feed first.
func (n *Node) controls() (list []string) {
	for _, r := range n.records() {
		if slices.Contains(r.Roles, feed.RoleControl) && r.Name != n.s.Name {
			list = append(list, r.Mesh)
		}
	}
	for _, at := range n.s.Control {
		if !slices.Contains(list, at) && at != n.s.meshAt() {
			list = append(list, at)
		}
	}
	return list
}

// known are the nodes that the feed named at a position.
type known struct {
	at   feed.Position
	list []feed.NodeRecord
}

// records are the nodes that the feed names; nobody may change the list.
func (n *Node) records() []feed.NodeRecord {
	at := n.keeper.Position()
	if k := n.known.Load(); k != nil && k.at == at {
		return k.list
	}
	var refs []feed.Ref
	n.keeper.View(func(s *feed.State) {
		at = s.Position
		for key, doc := range s.Docs {
			if strings.HasPrefix(key, feed.PrefixNode) {
				refs = append(refs, doc.Ref)
			}
		}
	})
	k := &known{at: at}
	whole := true
	for _, ref := range refs {
		var r feed.NodeRecord
		data, err := n.keeper.Object(ref.Object)
		if err == nil {
			err = json.Unmarshal(data, &r)
		}
		if whole = whole && err == nil; err == nil {
			k.list = append(k.list, r)
		}
	}
	if whole { // else an object is still on its way
		n.known.Store(k)
	}
	return k.list
}

// askControl asks one control node after the other until one answers.
func (n *Node) askControl(ctx context.Context, method, path string, body []byte, take func(io.Reader) error) error {
	return n.askFor(ctx, &http.Client{Transport: n.toControl, Timeout: askWithin}, method, path, body, take)
}

func (n *Node) askFor(ctx context.Context, c *http.Client, method, path string, body []byte, take func(io.Reader) error) error {
	var errs []error
	for _, at := range n.controls() {
		err := ask(ctx, c, method, "https://"+at+path, body, take)
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", at, err))
	}
	if len(errs) == 0 {
		return errors.New("no control node is known")
	}
	return errors.Join(errs...)
}

// client asks other nodes.
func (n *Node) client() *http.Client { return &http.Client{Transport: n.transport, Timeout: askWithin} }

// ask sends one request and lets take have the answer; another status than 200 is an error with what was answered.
func ask(ctx context.Context, c *http.Client, method, url string, body []byte, take func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, errorMax))
		return &statusError{resp.StatusCode, strings.TrimSpace(string(text))}
	}
	return take(resp.Body)
}

// statusError is what another node answered instead.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return fmt.Sprintf("%s (%d)", e.text, e.status) }

// secret asks control for a secret of a site that this node serves.
func (n *Node) secret(ctx context.Context, h feed.Hash) ([]byte, error) {
	return n.askSecret(ctx, "secrets/"+h.String(), func(c *control.Control) ([]byte, error) { return c.SecretFor(ctx, n.s.Name, h) })
}

// programSecret asks control for a secret of a program that this node runs.
func (n *Node) programSecret(ctx context.Context, id string) ([]byte, error) {
	return n.askSecret(ctx, "program-secrets/"+id, func(c *control.Control) ([]byte, error) { return c.ProgramSecretFor(ctx, n.s.Name, id) })
}

// askSecret asks this node's control for a secret of an edge, or another one.
func (n *Node) askSecret(ctx context.Context, path string, own func(*control.Control) ([]byte, error)) (data []byte, err error) {
	if st := n.station.Load(); st != nil && n.s.has(feed.RoleEdge) {
		return own(st.control)
	}
	err = n.askControl(ctx, http.MethodGet, control.NodePrefix+path, nil, func(body io.Reader) (err error) {
		data, err = io.ReadAll(io.LimitReader(body, answerMax))
		return err
	})
	return data, err
}

// askNodes asks control, or this node's own, how all nodes are.
func (n *Node) askNodes(ctx context.Context) (network collect.Network, err error) {
	if st := n.station.Load(); st != nil {
		nodes, at := st.control.Nodes()
		network.Position = at
		for _, one := range nodes {
			network.Nodes = append(network.Nodes, collect.Node{NodeRecord: one.NodeRecord, Live: one.Live, Seen: one.Seen, Report: one.Report})
		}
		return network, nil
	}
	err = n.askControl(ctx, http.MethodGet, control.NodePrefix+"nodes", nil, func(body io.Reader) error { return decode(body, &network) })
	return network, err
}

// dryRunOn has another node, or this one, try what is to be applied.
func (n *Node) dryRunOn(ctx context.Context, r feed.NodeRecord, d control.DryRun) error {
	if r.Name == n.s.Name {
		return n.dryRun(ctx, d)
	}
	body, err := json.Marshal(d)
	if err != nil {
		return err
	}
	err = ask(mesh.Expect(ctx, r.Name), n.client(), http.MethodPost, "https://"+r.Mesh+dryRunPath, body, func(io.Reader) error { return nil })
	var no *statusError
	if errors.As(err, &no) && no.status == http.StatusUnprocessableEntity {
		return &control.DryRunRefusal{Why: no.text}
	}
	return err
}

// dryRunPatience is how long what is tried may wait for images of programs. It is less than whoever asks waits.
const dryRunPatience = 8 * time.Second

// dryRun tries what is to be applied, when all is here that it takes.
func (n *Node) dryRun(ctx context.Context, d control.DryRun) error {
	until := time.Now().Add(dryRunPatience)
	for {
		err := n.dryRunNow(ctx, d)
		if !assembly.Missing(err) || time.Now().After(until) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(retryEvery):
		}
	}
}

// dryRunNow asks the goroutine that owns the configuration.
func (n *Node) dryRunNow(ctx context.Context, d control.DryRun) error {
	done := make(chan error, 1)
	select {
	case n.jobs <- func(ctx context.Context, f *follower) { done <- f.dryRun(ctx, d) }:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
