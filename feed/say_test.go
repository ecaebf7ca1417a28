package feed

import (
	"fmt"
	"testing"
	"time"
)

// Nodes are told of removed tokens as long as something may live that one let in, and of so many.
func TestRevoke(t *testing.T) {
	r := Revocations{Tokens: map[string]time.Time{}}
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range revokedTokensMax {
		r.Tokens[fmt.Sprint(i)] = began.Add(time.Duration(i) * time.Second)
	}
	r.Revoke("latest", began.Add(tokenRemembered/2))
	_, oldest := r.Tokens["0"]
	if _, latest := r.Tokens["latest"]; len(r.Tokens) != revokedTokensMax || oldest || !latest {
		t.Errorf("%d are remembered, the oldest among them: %v, the latest: %v", len(r.Tokens), oldest, latest)
	}
	if r.Revoke("new", began.Add(2*tokenRemembered)); len(r.Tokens) != 1 {
		t.Errorf("%d are remembered for longer than a day", len(r.Tokens)-1)
	}
}
