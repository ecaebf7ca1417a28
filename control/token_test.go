package control

import (
	"fmt"
	"testing"
	"time"

	"github.com/wherry/wherry/feed"
)

// Nodes are told of removed tokens as long as something may live that one let in, and of so many.
func TestRevokeToken(t *testing.T) {
	r := feed.Revocations{Tokens: map[string]time.Time{}}
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range revokedTokensMax {
		r.Tokens[fmt.Sprint(i)] = began.Add(time.Duration(i) * time.Second)
	}
	revokeToken(&r, "latest", began.Add(tokenRemembered/2))
	_, oldest := r.Tokens["0"]
	if _, latest := r.Tokens["latest"]; len(r.Tokens) != revokedTokensMax || oldest || !latest {
		t.Errorf("%d are remembered, the oldest among them: %v, the latest: %v", len(r.Tokens), oldest, latest)
	}
	if revokeToken(&r, "new", began.Add(2*tokenRemembered)); len(r.Tokens) != 1 {
		t.Errorf("%d are remembered for longer than a day", len(r.Tokens)-1)
	}
}
