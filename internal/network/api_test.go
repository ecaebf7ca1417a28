package network

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
)

// A process without control answers for its own edges, and says of the rest where to ask.
func TestAPIWithoutControl(t *testing.T) {
	n, err := New(Options{
		Snapshot: bothNodes(t, ""), Log: slog.New(slog.DiscardHandler), Token: "secret", Version: "1.2.3", Edges: []EdgeDoors{{Node: "lisbon-1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(n.portal)
	defer server.Close()
	c := &api.Client{Server: server.URL, Token: "secret"}

	st, err := c.Status(t.Context())
	if err != nil || len(st.Nodes) != 2 || st.Version != "1.2.3" {
		t.Fatalf("status %+v, %v", st, err)
	}
	if r := st.Nodes[0].Report; r == nil || r.Config != n.current.Revision || st.Nodes[1].Report != nil {
		t.Errorf("reports %+v, %+v", r, st.Nodes[1].Report)
	}

	purge := api.PurgeRequest{Purge: feed.Purge{Kind: feed.PurgeURL, Value: "http://shop.test/a"}}
	done, err := c.Purge(t.Context(), purge)
	if err != nil || len(done.Confirmed) != 1 || done.Confirmed[0].Node != config.NodeID("lisbon-1") || done.Purge != purge.Purge {
		t.Errorf("purge %+v, %v", done, err)
	}
	status := func(err error) int {
		var p *api.Problem
		if !errors.As(err, &p) || p.Action == "" {
			t.Errorf("no problem: %v", err)
			return 0
		}
		return p.Status
	}
	for _, tt := range []struct {
		purge feed.Purge
		want  int
	}{
		{feed.Purge{Kind: feed.PurgeURL, Value: "http://blog.test/"}, http.StatusNotFound},
		{feed.Purge{Kind: feed.PurgePrefix, Value: "/a"}, http.StatusNotFound},
		{feed.Purge{Kind: feed.PurgeTag}, http.StatusNotFound},
	} {
		if _, err := c.Purge(t.Context(), api.PurgeRequest{Purge: tt.purge}); status(err) != tt.want {
			t.Errorf("purge %+v: %v, want %d", tt.purge, err, tt.want)
		}
	}
	for _, kind := range []feed.Purge{
		{Kind: feed.PurgeTag, Value: "a", Site: "shop"},
		{Kind: feed.PurgePrefix, Value: "http://shop.test/a"},
		{Kind: feed.PurgeSite, Site: "shop"},
		{Kind: feed.PurgeAll},
		{Kind: feed.PurgeURL, Value: "http://shop.test/a", Soft: true},
	} {
		if done, err := c.Purge(t.Context(), api.PurgeRequest{Purge: kind}); err != nil || len(done.Confirmed) != 1 {
			t.Errorf("purge %+v: %+v, %v", kind, done, err)
		}
	}
	if _, err := c.Sites(t.Context(), api.SiteQuery{}); status(err) != http.StatusNotImplemented {
		t.Errorf("sites: %v", err)
	}
	for _, token := range []string{"", "secre", "secret2"} {
		if _, err := (&api.Client{Server: server.URL, Token: token}).Status(t.Context()); status(err) != http.StatusUnauthorized {
			t.Errorf("token %q: %v", token, err)
		}
	}
}
