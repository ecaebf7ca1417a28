package api

import (
	"context"
	"io"
	"net/http"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/fault"
)

// Unavailable is the Service of a process that has no control: each call answers 501 and says where to ask. Who serves a part embeds
// it and implements that part.
type Unavailable struct{}

var _ Service = Unavailable{}

func unavailable(what string) error {
	p := newProblem(http.StatusNotImplemented, "This process has no control, so it can't "+what+".",
		"Ask a node of role control (--server or WHERRY_SERVER); wherry init starts a network that has one. What runs from a file is changed in that file: "+
			"edit it, then send SIGHUP.")
	p.Party = fault.Client
	return p
}

// Authenticate implements Service.
func (Unavailable) Authenticate(context.Context, string) (Actor, error) {
	return Actor{}, unavailable("tell who asks")
}

// Apply implements Service.
func (Unavailable) Apply(context.Context, Actor, ApplyRequest) (ApplyResult, error) {
	return ApplyResult{}, unavailable("apply a configuration")
}

// Sites implements Service.
func (Unavailable) Sites(context.Context, Actor, SiteQuery) ([]Site, error) {
	return nil, unavailable("list the revisions of sites")
}

// Site implements Service.
func (Unavailable) Site(context.Context, Actor, config.SiteName) (SiteDetail, error) {
	return SiteDetail{}, unavailable("show a site's revision")
}

// History implements Service.
func (Unavailable) History(context.Context, Actor, string) ([]Revision, error) {
	return nil, unavailable("show a history")
}

// Revision implements Service.
func (Unavailable) Revision(context.Context, Actor, string, uint64) (RevisionDetail, error) {
	return RevisionDetail{}, unavailable("show a revision")
}

// Rollback implements Service.
func (Unavailable) Rollback(context.Context, Actor, RollbackRequest) (ApplyResult, error) {
	return ApplyResult{}, unavailable("roll back")
}

// RemoveSite implements Service.
func (Unavailable) RemoveSite(context.Context, Actor, RemoveRequest) (ApplyResult, error) {
	return ApplyResult{}, unavailable("remove a site")
}

// Export implements Service.
func (Unavailable) Export(context.Context, Actor, bool) (Export, error) {
	return Export{}, unavailable("export the network")
}

// Rollouts implements Service.
func (Unavailable) Rollouts(context.Context, Actor) ([]Rollout, error) {
	return nil, unavailable("list roll-outs")
}

// Rollout implements Service.
func (Unavailable) Rollout(context.Context, Actor, string) (Rollout, error) {
	return Rollout{}, unavailable("show a roll-out")
}

// SteerRollout implements Service.
func (Unavailable) SteerRollout(context.Context, Actor, string, Steering) (Rollout, error) {
	return Rollout{}, unavailable("steer a roll-out")
}

// Upgrade implements Service.
func (Unavailable) Upgrade(context.Context, Actor, UpgradeRequest, io.Reader) (ApplyResult, error) {
	return ApplyResult{}, unavailable("upgrade nodes")
}

// Purge implements Service.
func (Unavailable) Purge(context.Context, Actor, PurgeRequest) (PurgeResult, error) {
	return PurgeResult{}, unavailable("purge")
}

// Status implements Service.
func (Unavailable) Status(context.Context, Actor) (Status, error) {
	return Status{}, unavailable("show the network")
}

// RemoveNode implements Service.
func (Unavailable) RemoveNode(context.Context, Actor, RemoveNodeRequest) (RemoveNodeResult, error) {
	return RemoveNodeResult{}, unavailable("remove a node")
}

// ChangeNode implements Service.
func (Unavailable) ChangeNode(context.Context, Actor, ChangeNodeRequest) (ChangeNodeResult, error) {
	return ChangeNodeResult{}, unavailable("change a node")
}

// CreateJoinToken implements Service.
func (Unavailable) CreateJoinToken(context.Context, Actor, JoinTokenRequest) (JoinToken, error) {
	return JoinToken{}, unavailable("let nodes join")
}

// Grow implements Service.
func (Unavailable) Grow(context.Context, Actor, GrowRequest) (Status, error) {
	return Status{}, unavailable("grow its store")
}

// Backup implements Service.
func (Unavailable) Backup(context.Context, Actor, io.Writer) error {
	return unavailable("back its store up")
}

// CreateToken implements Service.
func (Unavailable) CreateToken(context.Context, Actor, TokenRequest) (TokenCreated, error) {
	return TokenCreated{}, unavailable("create tokens")
}

// Tokens implements Service.
func (Unavailable) Tokens(context.Context, Actor) ([]Token, error) {
	return nil, unavailable("list tokens")
}

// RemoveToken implements Service.
func (Unavailable) RemoveToken(context.Context, Actor, string) error {
	return unavailable("remove tokens")
}

// Audit implements Service.
func (Unavailable) Audit(context.Context, Actor, AuditQuery) ([]AuditRecord, error) {
	return nil, unavailable("show who changed what")
}
