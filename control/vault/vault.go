package vault

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/config/programs"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/store"
	"github.com/wherry/wherry/fault"
)

const (
	prefixAbout  = "vault/about/"
	prefixSealed = "vault/sealed/"
	// SecretsMax is how many secrets there are at most.
	SecretsMax = 4096
	// Grace is how long a secret that nothing names is kept for whoever has sent it to name it.
	Grace = time.Hour
	// goneMax bounds what goes in one transaction.
	goneMax = 1000
)

// Options are what a Vault is made of.
type Options struct {
	Store  *store.Store
	Sealer Sealer
	// Named finds the secrets that may not go.
	Named func(ctx context.Context) (map[string]bool, error)
	Now   func() time.Time
}

// Vault is the secrets of a network.
type Vault struct{ o Options }

// New returns the secrets of a store.
func New(o Options) *Vault { return &Vault{o} }

// record is what is known of a secret.
type record struct {
	Program  config.ProgramName `json:"program"`
	Variable string             `json:"variable"`
	At       time.Time          `json:"at"`
	Author   string             `json:"author"`
	Size     int                `json:"size"` // bytes; nobody is told
}

func wrong(status int, format string, args ...any) error {
	return fault.New(fault.Client, "secret", status, fmt.Errorf(format, args...))
}

func unavailable(err error) error {
	return fault.New(fault.Edge, "store", http.StatusServiceUnavailable, err)
}

// Subject is what records call a program's variable.
func Subject(program config.ProgramName, variable string) string {
	return "secret/" + string(program) + "/" + variable
}

// Put keeps the value of a variable of a program under a new name, and with it what else is to be put.
func (v *Vault) Put(ctx context.Context, program config.ProgramName, variable string, value io.Reader, author string, with store.Put) (api.Secret, error) {
	what, instead := programs.WrongVariable(variable)
	switch {
	case what != "":
		return api.Secret{}, wrong(http.StatusBadRequest, "%s: %s", what, instead)
	case !config.IsLabel(string(program)):
		return api.Secret{}, wrong(http.StatusBadRequest, "%.80q is not the name of a program: write a DNS label", program)
	}
	content, err := io.ReadAll(io.LimitReader(value, programs.SecretMax+1))
	if err != nil {
		return api.Secret{}, err
	}
	if _, amiss := programs.SecretValue(content); amiss != "" {
		return api.Secret{}, wrong(http.StatusUnprocessableEntity, "what was sent %s: send what the variable is to be", amiss)
	}
	if err := v.makeRoom(ctx); err != nil {
		return api.Secret{}, err
	}
	id := strings.ToLower(rand.Text())
	sealed, err := v.o.Sealer.Seal(belongs(id), content)
	if err != nil {
		return api.Secret{}, err
	}
	r := record{program, variable, v.o.Now().UTC(), author, len(content)}
	about, err := json.Marshal(r)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	_, err = v.o.Store.Commit(ctx, store.Txn{
		If:  []store.Cond{store.Absent(prefixAbout + id)},
		Put: []store.Put{{Key: prefixAbout + id, Value: about}, {Key: prefixSealed + id, Value: sealed}, with},
	})
	if err != nil {
		return api.Secret{}, unavailable(err)
	}
	return r.secret(id), nil
}

// belongs is what a sealed secret belongs to. It is no hash, so that nothing else that the key seals is taken for a secret.
func belongs(id string) []byte { return []byte("program secret " + id) }

// makeRoom drops what nothing names when there are too many.
func (v *Vault) makeRoom(ctx context.Context) error {
	for range 2 {
		all, err := v.records(ctx)
		if err != nil || len(all) < SecretsMax {
			return err
		}
		if err := v.Prune(ctx); err != nil {
			return err
		}
	}
	return wrong(http.StatusInsufficientStorage, "there are %d secrets, as many as control keeps: remove some from the network's settings; those that nothing names go %s after they came",
		SecretsMax, Grace)
}

func (r record) secret(id string) api.Secret {
	return api.Secret{ID: id, Program: r.Program, Variable: r.Variable, At: r.At, Author: r.Author}
}

func damaged(key string, err error) error {
	return fmt.Errorf("the store's %s is damaged: %w; restore a backup", key, err)
}

// record returns what is known of a secret; ok is false if there is none.
func (v *Vault) record(ctx context.Context, id string) (r record, ok bool, err error) {
	kv, ok, err := v.o.Store.Get(ctx, prefixAbout+id)
	if err != nil {
		return r, false, unavailable(err)
	}
	if ok {
		if err := json.Unmarshal(kv.Value, &r); err != nil {
			return r, false, damaged(kv.Key, err)
		}
	}
	return r, ok, nil
}

func (v *Vault) records(ctx context.Context) (map[string]record, error) {
	all := map[string]record{}
	_, err := v.o.Store.All(ctx, prefixAbout, func(kv store.KV) error {
		var r record
		if err := json.Unmarshal(kv.Value, &r); err != nil {
			return damaged(kv.Key, err)
		}
		all[strings.TrimPrefix(kv.Key, prefixAbout)] = r
		return nil
	})
	if err != nil {
		return nil, unavailable(err)
	}
	return all, nil
}

// List is the secrets of a program, those that came last first.
func (v *Vault) List(ctx context.Context, program config.ProgramName) ([]api.Secret, error) {
	all, err := v.records(ctx)
	if err != nil {
		return nil, err
	}
	named, err := v.o.Named(ctx)
	list := []api.Secret{}
	for id, r := range all {
		if r.Program == program {
			s := r.secret(id)
			s.Named = named[id]
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(x, y api.Secret) int { return cmp.Or(y.At.Compare(x.At), strings.Compare(x.ID, y.ID)) })
	return list, err
}

// Open returns a secret.
func (v *Vault) Open(ctx context.Context, id string) ([]byte, error) {
	kv, ok, err := v.o.Store.Get(ctx, prefixSealed+id)
	if err != nil {
		return nil, unavailable(err)
	}
	if !ok {
		return nil, wrong(http.StatusNotFound, "control has no secret:%s: wherry program secret set sends one", id)
	}
	return v.o.Sealer.Open(belongs(id), kv.Value)
}

// Prune drops the secrets that nothing names, as far as they are older than Grace. It does nothing where one of its conditions doesn't hold.
func (v *Vault) Prune(ctx context.Context, conditions ...store.Cond) error {
	all, err := v.records(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	named, err := v.o.Named(ctx)
	if err != nil {
		return err
	}
	var gone []string
	for id, r := range all {
		if !named[id] && v.o.Now().Sub(r.At) > Grace && len(gone) < goneMax {
			gone = append(gone, prefixAbout+id, prefixSealed+id)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	_, err = v.o.Store.Commit(ctx, store.Txn{If: conditions, Delete: gone})
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}
