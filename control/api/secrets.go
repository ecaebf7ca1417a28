package api

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/config/programs"
)

// Secret is what is told of a secret of a program: all but its value. Settings name it as secret:ID.
type Secret struct {
	ID       string             `json:"id"` // random
	Program  config.ProgramName `json:"program"`
	Variable string             `json:"variable"` // of its environment
	At       time.Time          `json:"at"`
	Author   string             `json:"author"`
	Named    bool               `json:"named"` // by settings that hold, are being rolled out or held before; others go
}

// Secrets keeps secrets of programs for nodes. Nobody is told their values.
type Secrets interface {
	// PutSecret keeps the value of a variable of a program under a new ID.
	PutSecret(ctx context.Context, a Actor, program config.ProgramName, variable string, value io.Reader) (Secret, error)
	// Secrets are those of a program, also those that its settings don't name any more, the latest first.
	Secrets(ctx context.Context, a Actor, program config.ProgramName) ([]Secret, error)
}

// PutSecret implements Secrets.
func (Unavailable) PutSecret(context.Context, Actor, config.ProgramName, string, io.Reader) (Secret, error) {
	return Secret{}, unavailable("keep secrets of programs")
}

// Secrets implements Secrets.
func (Unavailable) Secrets(context.Context, Actor, config.ProgramName) ([]Secret, error) {
	return nil, unavailable("keep secrets of programs")
}

func secretRoutes() []route {
	return []route{
		{
			method: http.MethodGet, path: "/programs/{program}/secrets", id: "secrets", verb: Read, summary: "What there is of secrets of a program, without their values", out: []Secret{},
			about: "Those that its settings name, and those that earlier revisions of them do; the latest first.",
			serve: func(ctx context.Context, c *call) (any, error) {
				return c.service.Secrets(ctx, c.actor, config.ProgramName(c.path("program")))
			},
		},
		{
			method: http.MethodPost, path: "/programs/{program}/secrets/{variable}", id: "putSecret", verb: Deploy, summary: "Keep the value of a variable of a program",
			about: "The body is the value, of at most 64 KiB; one line break at its end doesn't count. Programs in the network's settings name it as `secret:ID`. " +
				"What nothing names goes after an hour.",
			in: octets{}, out: Secret{}, bodyMax: programs.SecretMax + 1,
			serve: func(ctx context.Context, c *call) (any, error) {
				if err := c.checkType("application/octet-stream"); err != nil {
					return nil, err
				}
				return c.service.PutSecret(ctx, c.actor, config.ProgramName(c.path("program")), c.path("variable"), c.body())
			},
		},
	}
}

// PutSecret is Secrets.PutSecret.
func (c *Client) PutSecret(ctx context.Context, program config.ProgramName, variable string, value io.Reader) (Secret, error) {
	return send[Secret](ctx, c, http.MethodPost, "/programs"+segment(program)+"/secrets"+segment(variable), nil, value)
}

// Secrets is Secrets.Secrets.
func (c *Client) Secrets(ctx context.Context, program config.ProgramName) ([]Secret, error) {
	return get[[]Secret](ctx, c, "/programs"+segment(program)+"/secrets", nil)
}
