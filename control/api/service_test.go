package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/fault"
	"github.com/wherry/wherry/feed"
)

// recorder is a Service that notes what it is asked, and answers what it is told to.
type recorder struct {
	can   []api.Verb // of every actor; default: admin
	got   []any      // the arguments of the last call, without context and actor
	actor api.Actor
	give  any // the answer, if its type fits; else the zero value
	err   error
}

var _ api.Service = (*recorder)(nil)

func reply[T any](r *recorder, a api.Actor, got ...any) (T, error) {
	r.actor, r.got = a, got
	give, _ := r.give.(T)
	return give, r.err
}

func (r *recorder) Authenticate(_ context.Context, token string) (api.Actor, error) {
	if token != "secret" {
		return api.Actor{}, fault.New(fault.Client, "authenticate", http.StatusUnauthorized, errors.New("the token is none of this network's"))
	}
	can := r.can
	if can == nil {
		can = []api.Verb{api.Admin}
	}
	return api.Actor{Name: "ci", Can: api.Scope{Verbs: can}}, nil
}

func (r *recorder) Apply(_ context.Context, a api.Actor, in api.ApplyRequest) (api.ApplyResult, error) {
	return reply[api.ApplyResult](r, a, in)
}

func (r *recorder) Sites(_ context.Context, a api.Actor, q api.SiteQuery) ([]api.Site, error) {
	return reply[[]api.Site](r, a, q)
}

func (r *recorder) Site(_ context.Context, a api.Actor, name config.SiteName) (api.SiteDetail, error) {
	return reply[api.SiteDetail](r, a, name)
}

func (r *recorder) History(_ context.Context, a api.Actor, name string) ([]api.Revision, error) {
	return reply[[]api.Revision](r, a, name)
}

func (r *recorder) Revision(_ context.Context, a api.Actor, name string, n uint64) (api.RevisionDetail, error) {
	return reply[api.RevisionDetail](r, a, name, n)
}

func (r *recorder) Rollback(_ context.Context, a api.Actor, in api.RollbackRequest) (api.ApplyResult, error) {
	return reply[api.ApplyResult](r, a, in)
}

func (r *recorder) RemoveSite(_ context.Context, a api.Actor, in api.RemoveRequest) (api.ApplyResult, error) {
	return reply[api.ApplyResult](r, a, in)
}

func (r *recorder) Export(_ context.Context, a api.Actor, secrets bool) (api.Export, error) {
	return reply[api.Export](r, a, secrets)
}

func (r *recorder) Rollouts(_ context.Context, a api.Actor) ([]api.Rollout, error) {
	return reply[[]api.Rollout](r, a)
}

func (r *recorder) Rollout(_ context.Context, a api.Actor, id string) (api.Rollout, error) {
	return reply[api.Rollout](r, a, id)
}

func (r *recorder) SteerRollout(_ context.Context, a api.Actor, id string, how api.Steering) (api.Rollout, error) {
	return reply[api.Rollout](r, a, id, how)
}

func (r *recorder) Upgrade(_ context.Context, a api.Actor, in api.UpgradeRequest, program io.Reader) (api.ApplyResult, error) {
	data, err := io.ReadAll(program)
	if err != nil {
		return api.ApplyResult{}, err
	}
	return reply[api.ApplyResult](r, a, in, string(data))
}

func (r *recorder) Purge(_ context.Context, a api.Actor, in api.PurgeRequest) (api.PurgeResult, error) {
	return reply[api.PurgeResult](r, a, in)
}

func (r *recorder) Status(_ context.Context, a api.Actor) (api.Status, error) {
	return reply[api.Status](r, a)
}

func (r *recorder) Paths(_ context.Context, a api.Actor, node config.NodeID) (api.NodePaths, error) {
	return reply[api.NodePaths](r, a, node)
}

func (r *recorder) BenchPath(_ context.Context, a api.Actor, in api.PathBenchRequest) (api.PathBench, error) {
	return reply[api.PathBench](r, a, in)
}

func (r *recorder) OpenTunnel(_ context.Context, a api.Actor, in api.TunnelRequest) (api.Tunnel, error) {
	return reply[api.Tunnel](r, a, in)
}

func (r *recorder) ChangeNode(_ context.Context, a api.Actor, in api.ChangeNodeRequest) (api.ChangeNodeResult, error) {
	return reply[api.ChangeNodeResult](r, a, in)
}

func (r *recorder) RemoveNode(_ context.Context, a api.Actor, in api.RemoveNodeRequest) (api.RemoveNodeResult, error) {
	return reply[api.RemoveNodeResult](r, a, in)
}

func (r *recorder) CreateJoinToken(_ context.Context, a api.Actor, in api.JoinTokenRequest) (api.JoinToken, error) {
	return reply[api.JoinToken](r, a, in)
}

func (r *recorder) Grow(_ context.Context, a api.Actor, in api.GrowRequest) (api.Status, error) {
	return reply[api.Status](r, a, in)
}

func (r *recorder) PutImage(_ context.Context, a api.Actor, h feed.Hash, image io.Reader) (api.Image, error) {
	data, err := io.ReadAll(image)
	if err != nil {
		return api.Image{}, err
	}
	return reply[api.Image](r, a, h, string(data))
}

func (r *recorder) Images(_ context.Context, a api.Actor) ([]api.Image, error) {
	return reply[[]api.Image](r, a)
}

func (r *recorder) Image(_ context.Context, a api.Actor, h feed.Hash, w io.Writer) error {
	text, err := reply[string](r, a, h)
	_, failed := io.WriteString(w, text)
	return errors.Join(err, failed)
}

func (r *recorder) PutSecret(_ context.Context, a api.Actor, program config.ProgramName, variable string, value io.Reader) (api.Secret, error) {
	data, err := io.ReadAll(value)
	if err != nil {
		return api.Secret{}, err
	}
	return reply[api.Secret](r, a, program, variable, string(data))
}

func (r *recorder) Secrets(_ context.Context, a api.Actor, program config.ProgramName) ([]api.Secret, error) {
	return reply[[]api.Secret](r, a, program)
}

func (r *recorder) Backup(_ context.Context, a api.Actor, w io.Writer) error {
	text, err := reply[string](r, a)
	_, _ = io.WriteString(w, text)
	return err
}

func (r *recorder) CreateToken(_ context.Context, a api.Actor, in api.TokenRequest) (api.TokenCreated, error) {
	return reply[api.TokenCreated](r, a, in)
}

func (r *recorder) Tokens(_ context.Context, a api.Actor) ([]api.Token, error) {
	return reply[[]api.Token](r, a)
}

func (r *recorder) RemoveToken(_ context.Context, a api.Actor, name string) error {
	_, err := reply[any](r, a, name)
	return err
}

func (r *recorder) Audit(_ context.Context, a api.Actor, q api.AuditQuery) ([]api.AuditRecord, error) {
	return reply[[]api.AuditRecord](r, a, q)
}

// serve runs the API of s until the test ends.
func serve(t *testing.T, s api.Service) *api.Client {
	t.Helper()
	server := httptest.NewServer(api.NewHandler(s, quiet))
	t.Cleanup(server.Close)
	return &api.Client{Server: server.URL, Token: "secret", HTTP: server.Client()}
}

// filled returns a T of which no field is zero and no two are the same.
func filled[T any]() T {
	var v T
	count := 0
	fill(reflect.ValueOf(&v).Elem(), &count)
	return v
}

// words are what fields of these types may hold.
var words = map[reflect.Type][]string{
	reflect.TypeFor[api.Verb]():       {"read", "deploy"},
	reflect.TypeFor[feed.PurgeKind](): {"tag"},
	reflect.TypeFor[feed.Role]():      {"edge", "dns"},
}

func fill(v reflect.Value, count *int) {
	*count++
	n := *count
	if known := words[v.Type()]; known != nil {
		v.SetString(known[n%len(known)])
		return
	}
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 3, 1, 12, 0, n%60, n, time.UTC)))
		return
	case netip.AddrPort:
		v.Set(reflect.ValueOf(netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), 443)))
		return
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})))
		return
	case time.Duration:
		v.SetInt(int64(n)) // nanoseconds count
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("text %d <&>/%%é", n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(n))
	case reflect.Uint8:
		v.SetUint(uint64(n % 256))
	case reflect.Uint64:
		v.SetUint(1<<63 + uint64(n)) // more than a float holds
	case reflect.Float64:
		v.SetFloat(float64(n) + 0.25)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), count)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), count)
		fill(v.Index(1), count)
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), count)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, count)
		fill(value, count)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), count)
		}
	default:
		panic("nothing fills " + v.Type().String())
	}
}
