package control

import (
	"context"
	"io"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/control/vault"
	"github.com/wherry/wherry/feed"
)

func (c *Control) newVault() *vault.Vault {
	return vault.New(vault.Options{Store: c.o.Store, Sealer: c.o.Secret, Now: c.o.Now, Named: func(ctx context.Context) (map[string]bool, error) {
		named := map[string]bool{}
		return named, c.eachSettings(ctx, func(yaml string) { vault.Find(yaml, named) })
	}})
}

// PutSecret implements api.Secrets.
func (c *Control) PutSecret(ctx context.Context, a api.Actor, program config.ProgramName, variable string, value io.Reader) (s api.Secret, err error) {
	subject := vault.Subject(program, variable)
	if err = may(a, api.Deploy, ""); err == nil {
		s, err = c.vault.Put(ctx, program, variable, value, a.Name, c.audited(a, "put secret", subject, "", "", "", c.now()))
	}
	if err != nil {
		err = c.auditRefusal(ctx, a, "put secret", subject, "", err)
	}
	return s, err
}

// Secrets implements api.Secrets.
func (c *Control) Secrets(ctx context.Context, a api.Actor, program config.ProgramName) ([]api.Secret, error) {
	if err := may(a, api.Read, ""); err != nil {
		return nil, err
	}
	return c.vault.List(ctx, program)
}

// ProgramSecretFor opens a secret of a program for a node whose settings name it, and for nobody else.
func (c *Control) ProgramSecretFor(ctx context.Context, node config.NodeID, id string) ([]byte, error) {
	var ref feed.Ref
	c.o.Keeper.View(func(s *feed.State) {
		doc := s.Docs[feed.KeyNetwork]
		ref, _ = doc.For(node)
	})
	if settings, err := c.object(ctx, ref.Object); err != nil || !vault.Names(settings, id) {
		return nil, refused("this secret isn't for %s", node)
	}
	return c.vault.Open(ctx, id)
}
