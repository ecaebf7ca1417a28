package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/wherry/wherry/config"
)

// Client asks the API of a network. Its methods are those of Service, without the actor, whom the token names. Their errors are
// *Problem, also where nobody has answered, or something that isn't this API; except that of a context that ended.
type Client struct {
	Server string       // URL, such as http://127.0.0.1:8088
	Token  string       // of the network's
	HTTP   *http.Client // default: http.DefaultClient
	// Answer gets each successful answer in JSON as it came. default: nobody
	Answer io.Writer
}

// answerMax bounds an answer in JSON: an export of a large network.
const answerMax = 1 << 30

// problemMax bounds a problem.
const problemMax = 16 << 20

// do sends in as JSON, if there is one, and decodes the answer into out.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var body io.Reader
	if in != nil {
		var b bytes.Buffer
		if err := json.NewEncoder(&b).Encode(in); err != nil {
			return err
		}
		body = &b
	}
	return c.exchange(ctx, method, path, query, "application/json", body, func(r io.Reader) error {
		if out == nil {
			return nil
		}
		if c.Answer != nil {
			r = io.TeeReader(r, c.Answer)
		}
		d := json.NewDecoder(io.LimitReader(r, answerMax))
		if err := d.Decode(out); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, io.MultiReader(d.Buffered(), r)) // to its end, so that the connection can be used again
		return err
	})
}

// exchange sends one request and lets read have what a successful answer brings.
func (c *Client) exchange(ctx context.Context, method, path string, query url.Values, kind string, body io.Reader, read func(io.Reader) error) error {
	target := strings.TrimSuffix(c.Server, "/") + Prefix + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return &Problem{Title: "No server", Detail: err.Error() + ".", Action: "Write a URL, such as http://127.0.0.1:8088.", err: err}
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("Accept", "application/json, application/problem+json")
	if body != nil {
		req.Header.Set("Content-Type", kind)
	}
	if kind == "application/octet-stream" {
		req.Header.Set("Expect", "100-continue") // a refusal comes before the program is sent (RFC 9110 §10.1.1)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer resp.Body.Close()
	got, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode >= 300 {
		return c.refused(resp, got)
	}
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if got != "application/json" && got != "application/octet-stream" {
		return c.stranger(resp)
	}
	err = read(resp.Body)
	var syntax *json.SyntaxError
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil, ctx.Err() != nil:
		return errors.Join(err, ctx.Err())
	case errors.As(err, &syntax), errors.As(err, &wrong):
		return c.stranger(resp)
	}
	return &Problem{
		Title: "Broken answer", Detail: "The answer of " + c.Server + " broke off: " + err.Error() + ".",
		Action: "Whether it was done is shown by wherry status; then send it again.", err: err,
	}
}

// refused reads the problem that the API answered with.
func (c *Client) refused(resp *http.Response, kind string) error {
	var p Problem
	data, err := io.ReadAll(io.LimitReader(resp.Body, problemMax))
	if err != nil || kind != "application/problem+json" || json.Unmarshal(data, &p) != nil || p.Title == "" {
		return c.stranger(resp)
	}
	p.Status = resp.StatusCode
	return &p
}

// stranger is the error that something else answers, such as an edge or the origin behind it.
func (c *Client) stranger(resp *http.Response) error {
	kind := resp.Header.Get("Content-Type")
	if kind == "" {
		kind = "no Content-Type"
	}
	return &Problem{
		Title: "No API", Status: resp.StatusCode, Detail: fmt.Sprintf("What answers at %s is no API of Wherry (%s, %s).", c.Server, resp.Status, kind),
		Action: "Say with --server or WHERRY_SERVER what listen.portal is there.",
	}
}

func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err // without the URL, which is said already
	}
	p := &Problem{
		Title: "No answer", Detail: fmt.Sprintf("%s can't be asked: %v.", c.Server, err),
		Action: "Say with --server or WHERRY_SERVER what listen.portal of a node of role control is.", err: err,
	}
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		p.Action = "Say with --ca-file or WHERRY_CA which authority signed its certificate."
	case errors.Is(err, syscall.ECONNREFUSED):
		p.Detail = "Nothing listens at " + c.Server + "."
		p.Action = "Is wherry running there, and is its listen.portal not off? Another one is named by --server or WHERRY_SERVER."
	}
	return p
}

// get asks for a T.
func get[T any](ctx context.Context, c *Client, path string, query url.Values) (out T, err error) {
	err = c.do(ctx, http.MethodGet, path, query, nil, &out)
	return out, err
}

// post sends in and asks for a T.
func post[T any](ctx context.Context, c *Client, path string, in any) (out T, err error) {
	err = c.do(ctx, http.MethodPost, path, nil, in, &out)
	return out, err
}

// send streams octets and asks for a T.
func send[T any](ctx context.Context, c *Client, method, path string, query url.Values, octets io.Reader) (out T, err error) {
	err = c.exchange(ctx, method, path, query, "application/octet-stream", octets, func(body io.Reader) error {
		if c.Answer != nil {
			body = io.TeeReader(body, c.Answer)
		}
		return json.NewDecoder(io.LimitReader(body, answerMax)).Decode(&out)
	})
	return out, err
}

// remove asks for a T in exchange for what path names.
func remove[T any](ctx context.Context, c *Client, path, message string) (out T, err error) {
	q := url.Values{}
	set(q, "message", message)
	err = c.do(ctx, http.MethodDelete, path, q, nil, &out)
	return out, err
}

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func setTruth(q url.Values, name string, value bool) {
	if value {
		q.Set(name, "true")
	}
}

func segment[T ~string](name T) string { return "/" + url.PathEscape(string(name)) }

// Self asks whose token it is, and what it may do.
func (c *Client) Self(ctx context.Context) (Self, error) {
	return get[Self](ctx, c, "/self", nil)
}

// Apply is Service.Apply.
func (c *Client) Apply(ctx context.Context, r ApplyRequest) (ApplyResult, error) {
	return post[ApplyResult](ctx, c, "/apply", r)
}

// Sites is Service.Sites.
func (c *Client) Sites(ctx context.Context, q SiteQuery) ([]Site, error) {
	values := url.Values{}
	set(values, "contains", q.Contains)
	set(values, "after", string(q.After))
	if q.Limit != 0 {
		values.Set("limit", strconv.Itoa(q.Limit))
	}
	return get[[]Site](ctx, c, "/sites", values)
}

// Site is Service.Site.
func (c *Client) Site(ctx context.Context, name config.SiteName) (SiteDetail, error) {
	return get[SiteDetail](ctx, c, "/sites"+segment(name), nil)
}

// History is Service.History.
func (c *Client) History(ctx context.Context, name string) ([]Revision, error) {
	return get[[]Revision](ctx, c, "/sites"+segment(name)+"/revisions", nil)
}

// Revision is Service.Revision.
func (c *Client) Revision(ctx context.Context, name string, number uint64) (RevisionDetail, error) {
	return get[RevisionDetail](ctx, c, "/sites"+segment(name)+"/revisions/"+strconv.FormatUint(number, 10), nil)
}

// Rollback is Service.Rollback.
func (c *Client) Rollback(ctx context.Context, r RollbackRequest) (ApplyResult, error) {
	return post[ApplyResult](ctx, c, "/sites"+segment(r.Name)+"/rollback", r)
}

// RemoveSite is Service.RemoveSite.
func (c *Client) RemoveSite(ctx context.Context, r RemoveRequest) (ApplyResult, error) {
	return remove[ApplyResult](ctx, c, "/sites"+segment(r.Name), r.Message)
}

// Export is Service.Export.
func (c *Client) Export(ctx context.Context, withSecrets bool) (Export, error) {
	q := url.Values{}
	setTruth(q, "secrets", withSecrets)
	return get[Export](ctx, c, "/export", q)
}

// Rollouts is Service.Rollouts.
func (c *Client) Rollouts(ctx context.Context) ([]Rollout, error) {
	return get[[]Rollout](ctx, c, "/rollouts", nil)
}

// Rollout is Service.Rollout.
func (c *Client) Rollout(ctx context.Context, id string) (Rollout, error) {
	return get[Rollout](ctx, c, "/rollouts"+segment(id), nil)
}

// SteerRollout is Service.SteerRollout.
func (c *Client) SteerRollout(ctx context.Context, id string, how Steering) (Rollout, error) {
	return post[Rollout](ctx, c, "/rollouts"+segment(id)+segment(how), nil)
}

// Upgrade is Service.Upgrade. The program is streamed; with Back there is none.
func (c *Client) Upgrade(ctx context.Context, r UpgradeRequest, program io.Reader) (out ApplyResult, err error) {
	q := url.Values{}
	set(q, "version", r.Version)
	set(q, "message", r.Message)
	setTruth(q, "back", r.Back)
	setTruth(q, "emergency", r.Emergency)
	setTruth(q, "wait", r.Wait)
	for _, node := range r.Nodes {
		q.Add("node", string(node))
	}
	if r.Back {
		err = c.do(ctx, http.MethodPost, "/upgrade", q, nil, &out)
		return out, err
	}
	return send[ApplyResult](ctx, c, http.MethodPost, "/upgrade", q, program)
}

// Purge is Service.Purge.
func (c *Client) Purge(ctx context.Context, r PurgeRequest) (PurgeResult, error) {
	return post[PurgeResult](ctx, c, "/purges", r)
}

// Status is Service.Status.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return get[Status](ctx, c, "/status", nil)
}

// Nodes are those of Status.
func (c *Client) Nodes(ctx context.Context) ([]NodeStatus, error) {
	return get[[]NodeStatus](ctx, c, "/nodes", nil)
}

// RemoveNode is Service.RemoveNode.
func (c *Client) RemoveNode(ctx context.Context, r RemoveNodeRequest) (RemoveNodeResult, error) {
	return remove[RemoveNodeResult](ctx, c, "/nodes"+segment(r.Node), r.Message)
}

// ChangeNode is Service.ChangeNode.
func (c *Client) ChangeNode(ctx context.Context, r ChangeNodeRequest) (ChangeNodeResult, error) {
	return post[ChangeNodeResult](ctx, c, "/nodes"+segment(r.Node), r)
}

// CreateJoinToken is Service.CreateJoinToken.
func (c *Client) CreateJoinToken(ctx context.Context, r JoinTokenRequest) (JoinToken, error) {
	return post[JoinToken](ctx, c, "/join-tokens", r)
}

// Grow is Service.Grow.
func (c *Client) Grow(ctx context.Context, r GrowRequest) (Status, error) {
	return post[Status](ctx, c, "/control/grow", r)
}

// Backup is Service.Backup. What w got before an error is no backup.
func (c *Client) Backup(ctx context.Context, w io.Writer) error {
	return c.exchange(ctx, http.MethodGet, "/control/backup", nil, "", nil, func(body io.Reader) error {
		_, err := io.Copy(w, body)
		return err
	})
}

// CreateToken is Service.CreateToken.
func (c *Client) CreateToken(ctx context.Context, r TokenRequest) (TokenCreated, error) {
	return post[TokenCreated](ctx, c, "/tokens", r)
}

// Tokens is Service.Tokens.
func (c *Client) Tokens(ctx context.Context) ([]Token, error) {
	return get[[]Token](ctx, c, "/tokens", nil)
}

// RemoveToken is Service.RemoveToken.
func (c *Client) RemoveToken(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, "/tokens"+segment(name), nil, nil, nil)
}

// Audit is Service.Audit.
func (c *Client) Audit(ctx context.Context, q AuditQuery) ([]AuditRecord, error) {
	values := url.Values{}
	set(values, "subject", q.Subject)
	set(values, "actor", q.Actor)
	if q.Limit != 0 {
		values.Set("limit", strconv.Itoa(q.Limit))
	}
	if !q.Before.IsZero() {
		values.Set("before", q.Before.Format(time.RFC3339Nano))
	}
	return get[[]AuditRecord](ctx, c, "/audit", values)
}
