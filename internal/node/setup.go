package node

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wherry/wherry/certs"
	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/rollout"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/feed"
	"github.com/wherry/wherry/mesh"
)

// TokenName is the file of the token with which this machine's user is the operator: of the whole network on the machine that made it, of
// this node alone elsewhere.
const TokenName = "operator.token"

// InitOptions make a network.
type InitOptions struct {
	Dir      string
	Settings Settings
	Zone     string
}

// InitResult is what the administrator needs.
type InitResult struct {
	Server string        `json:"server"`
	Token  string        `json:"token"`
	Join   api.JoinToken `json:"join"`
}

// Init makes a network whose first node is in a directory.
func Init(ctx context.Context, o InitOptions) (result InitResult, err error) {
	s := o.Settings
	if err := s.Check(); err != nil {
		return result, err
	}
	if !s.has(feed.RoleControl) {
		return result, errors.New("the first node of a network has the role control: add it to --roles")
	}
	settings := fmt.Appendf(nil, "zone: %s\n", o.Zone)
	if _, problems := config.ParseSettings("--zone", settings); problems.Err() != nil {
		return result, problems.Err()
	}
	if err := fresh(o.Dir); err != nil {
		return result, err
	}
	undo, err := remover(o.Dir, controlDir, identityDir, storeDir, feedDir)
	if err != nil {
		return result, err
	}
	defer func() {
		if err != nil { // it can be tried again
			err = errors.Join(err, undo())
		}
	}()
	authority, err := mesh.NewAuthority(filepath.Join(o.Dir, controlDir), o.Zone, time.Now())
	if err != nil {
		return result, err
	}
	key, secret := make([]byte, ed25519.SeedSize), make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	_, _ = rand.Read(secret)
	signer := feed.NewSigner(ed25519.NewKeyFromSeed(key))
	cert, caKey, err := authority.Export()
	if err != nil {
		return result, err
	}
	if err := keepKeys(o.Dir, &control.Keys{AuthorityCert: cert, AuthorityKey: caKey, Feed: key, Secret: secret}); err != nil {
		return result, err
	}
	id, err := mesh.OpenIdentity(filepath.Join(o.Dir, identityDir))
	if err != nil {
		return result, err
	}
	csr, err := id.CSR()
	if err != nil {
		return result, err
	}
	leaf, err := authority.Issue(csr, mesh.Who{Node: s.Name, Roles: s.Roles}, time.Now())
	if err != nil {
		return result, err
	}
	if err := id.Install(leaf, authority.PEM()); err != nil {
		return result, err
	}
	s.Network, s.Control, s.FeedKeys = o.Zone, []string{s.meshAt()}, [][]byte{signer.Key()}
	result.Token = control.NewToken()
	result.Server = "http://" + string(portalOf(&s))
	if result.Join, err = bootstrap(ctx, o.Dir, &s, id, authority, signer, secret, settings, csr, result.Token); err != nil {
		return result, err
	}
	if err := certs.WriteSecret(filepath.Join(o.Dir, TokenName), []byte(result.Token+"\n")); err != nil {
		return result, err
	}
	return result, s.write(o.Dir)
}

// remover returns what removes those of these folders that aren't there yet.
func remover(dir string, names ...string) (func() error, error) {
	var made []string
	for _, name := range names {
		switch _, err := os.Lstat(filepath.Join(dir, name)); {
		case errors.Is(err, fs.ErrNotExist):
			made = append(made, filepath.Join(dir, name))
		case err != nil:
			return nil, err
		}
	}
	return func() error {
		var errs []error
		for _, path := range made {
			errs = append(errs, os.RemoveAll(path))
		}
		return errors.Join(errs...)
	}, nil
}

// portalOf is where the API of a node is.
func portalOf(s *Settings) config.Address {
	if s.Listen.Portal != "" {
		return s.Listen.Portal
	}
	return "127.0.0.1:8088"
}

// bootstrap puts the network into its store, which runs for that long.
func bootstrap(ctx context.Context, dir string, s *Settings, id *mesh.Identity, authority *mesh.Authority, signer *feed.Signer, secret, settings, csr []byte, token string) (join api.JoinToken, err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	st, err := store.Open(ctx, storeOptions(s, dir, id, log))
	if err != nil {
		return join, err
	}
	defer st.Close()
	keeper, err := feed.OpenKeeper(filepath.Join(dir, feedDir), feed.KeeperOptions{Verifier: feed.NewVerifier(signer.Key()), Log: log})
	if err != nil {
		return join, err
	}
	defer keeper.Close()
	c := control.New(control.Options{
		Self: s.Name, Store: st, Signer: signer, Keeper: keeper, Authority: authority, Secret: secret, Nodes: nobody{}, Log: log,
	})
	record, err := s.record()
	if err != nil {
		return join, err
	}
	if err := c.Bootstrap(ctx, settings, record, csr, token); err != nil {
		return join, err
	}
	return c.CreateJoinToken(ctx, api.Actor{Name: "wherry init", Can: api.Scope{Verbs: []api.Verb{api.Admin}}}, api.JoinTokenRequest{})
}

// nobody is what is heard of nodes before there are any.
type nobody struct{}

func (nobody) Seen() map[config.NodeID]rollout.Seen { return nil }
func (nobody) SeenAt(config.NodeID) time.Time       { return time.Time{} }
func (nobody) Changed() <-chan struct{}             { return nil }

// JoinOptions make a machine a node.
type JoinOptions struct {
	Dir      string
	Token    string
	Settings Settings
}

// Join makes this machine a node of the network that a token is for.
func Join(ctx context.Context, o JoinOptions) error {
	s := o.Settings
	token, err := mesh.ParseJoinToken(o.Token)
	if err != nil {
		return err
	}
	if err := s.Check(); err != nil {
		return err
	}
	if err := fresh(o.Dir); err != nil {
		return err
	}
	id, err := mesh.OpenIdentity(filepath.Join(o.Dir, identityDir))
	if err != nil {
		return err
	}
	csr, err := id.CSR()
	if err != nil {
		return err
	}
	record, err := s.record()
	if err != nil {
		return err
	}
	body, err := json.Marshal(control.JoinRequest{ID: token.ID, Secret: token.Secret, CSR: csr, Node: record})
	if err != nil {
		return err
	}
	a, err := askToJoin(ctx, token, body)
	if err != nil {
		return err
	}
	if err := id.Install(a.Certificate, a.Roots); err != nil {
		return err
	}
	if slices.Contains(s.Roles, feed.RoleControl) {
		if a.Keys == nil {
			return errors.New("control didn't send what a control node needs: is it of another version?")
		}
		if err := keepKeys(o.Dir, a.Keys); err != nil {
			return err
		}
	}
	s.Network, s.Control, s.FeedKeys = a.Network, a.Control, a.FeedKeys
	if err := begin(o.Dir, &s, a.Checkpoint); err != nil {
		return err
	}
	return s.write(o.Dir)
}

// begin gives the node what held when it joined.
func begin(dir string, s *Settings, c feed.Checkpoint) error {
	var keys []ed25519.PublicKey
	for _, key := range s.FeedKeys {
		keys = append(keys, key)
	}
	keeper, err := feed.OpenKeeper(filepath.Join(dir, feedDir), feed.KeeperOptions{Verifier: feed.NewVerifier(keys...)})
	if err != nil {
		return err
	}
	err = keeper.Reset(c)
	if errors.Is(err, feed.ErrOld) {
		err = nil
	}
	return errors.Join(err, keeper.Close())
}

// askToJoin asks one of the servers in the token after the other.
func askToJoin(ctx context.Context, token mesh.JoinToken, body []byte) (a control.JoinAnswer, err error) {
	c := &http.Client{Transport: mesh.JoinTransport(token), Timeout: askWithin}
	var errs []error
	for _, at := range token.Servers {
		err := ask(ctx, c, http.MethodPost, "https://"+at+control.NodePrefix+"join", body, func(r io.Reader) error { return decode(r, &a) })
		if err == nil {
			return a, nil
		}
		var no *statusError
		if errors.As(err, &no) && no.status < http.StatusInternalServerError {
			return a, errors.New(no.text)
		}
		errs = append(errs, fmt.Errorf("control at %s: %w", at, err))
	}
	return a, fmt.Errorf("%w; is a control node running at %s, and can this machine reach it?", errors.Join(errs...), strings.Join(token.Servers, ", "))
}
