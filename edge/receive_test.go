package edge

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/wherry/wherry/edge/hop"
	"github.com/wherry/wherry/trace"
)

func TestRequestIDsAreUnique(t *testing.T) {
	ids, err := hop.NewIDs()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for range 10_000 {
		id := ids.Next()
		if len(id) != 24 || seen[id] {
			t.Fatalf("id %q comes twice or is malformed", id)
		}
		seen[id] = true
	}
	other, err := hop.NewIDs()
	if err != nil {
		t.Fatal(err)
	}
	if id := other.Next(); seen[id] || id[:8] == ids.Next()[:8] {
		t.Errorf("two processes share the prefix of %s", id)
	}
}

func TestTrace(t *testing.T) {
	n := start(t, nodeOptions{})
	now := time.Now()
	for _, test := range []struct {
		name, id string
		fields   []string
		accepted bool
	}{
		{"right", "t1", []string{trace.Credential(testToken, "t1", now)}, true},
		{"wrong token", "t2", []string{trace.Credential("guess", "t2", now)}, false},
		{"old", "t3", []string{trace.Credential(testToken, "t3", now.Add(-time.Hour))}, false},
		{"twice", "t4", []string{trace.Credential(testToken, "t4", now), trace.Credential(testToken, "t4", now)}, false},
		{"junk", "t5", []string{"t5"}, false},
	} {
		fields := ""
		for _, f := range test.fields {
			fields += trace.Field + ": " + f + "\r\n"
		}
		// The report is there when the connection is closed: the steps are over then.
		w := n.dial()
		w.send("GET /x HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n" + fields + "\r\n")
		resp, _ := w.response(http.MethodGet)
		w.closed()
		report, ok := n.Trace(test.id)
		if ok != test.accepted || resp.StatusCode != 200 {
			t.Errorf("%s: traced %t, status %d", test.name, ok, resp.StatusCode)
		}
		if !ok {
			continue
		}
		var names []string
		for _, s := range report.Steps {
			if s.Room == "edge" && !slices.Contains(names, s.Step) {
				names = append(names, s.Step)
			}
		}
		if want := []string{"receive", "admit", "route", "forward", "serve", "record"}; !slices.Equal(names, want) {
			t.Errorf("%s: steps %v, want %v", test.name, names, want)
		}
		if report.URL != "http://shop.test/x" || report.Site != "shop" || report.Status != 200 || report.Node != "lisbon-1" {
			t.Errorf("%s: report %+v", test.name, report)
		}
	}
}
