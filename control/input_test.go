package control

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wherry/wherry/config"
	"github.com/wherry/wherry/control/api"
	"github.com/wherry/wherry/feed"
)

// Two who edit the same revision at once: one of them wins, and the other is told by the difference. Those who edit different sites don't meet.
func TestTwoAdminsAtOnce(t *testing.T) {
	c := newControl(t)
	c.mustApply(t, site("shop", ""), site("blog", ""))
	for round := range 10 {
		base := uint64(round + 1)
		errs := make([]error, 4)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() {
				d := site("shop", fmt.Sprintf("body_size: %dMiB\n", 1+100*round+i))
				d.Base = &base
				_, errs[i] = c.Apply(context.Background(), api.Actor{Name: fmt.Sprint("admin-", i), Can: admin.Can}, api.ApplyRequest{Documents: []api.Document{d}, Emergency: true})
			})
		}
		var other error
		all.Go(func() {
			d := site("blog", fmt.Sprintf("body_size: %dKiB\n", 1+round))
			d.Base = &base
			_, other = c.Apply(context.Background(), admin, api.ApplyRequest{Documents: []api.Document{d}, Emergency: true})
		})
		all.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
				continue
			}
			refusedWith(t, err, http.StatusConflict, "revision")
		}
		if won != 1 || other != nil {
			t.Fatalf("round %d: %d of 4 won; who edits another site: %v", round, won, other)
		}
	}
	for _, name := range []string{"shop", "blog"} {
		if history, err := c.History(t.Context(), admin, name); err != nil || len(history) != 11 {
			t.Errorf("%s has %d revisions, %v", name, len(history), err)
		}
	}
}

// Machines that join at once with the same token, or under the same name.
func TestMachinesThatJoinAtOnce(t *testing.T) {
	c := newControl(t)
	for _, d := range []struct {
		uses  int
		names []config.NodeID
		says  string
	}{
		{1, []config.NodeID{"osaka-1", "osaka-2", "osaka-3"}, "used already"},
		{3, []config.NodeID{"lima-1", "lima-1", "lima-1"}, "there is a node lima-1 already"},
	} {
		made, err := c.CreateJoinToken(t.Context(), admin, api.JoinTokenRequest{Uses: d.uses})
		if err != nil {
			t.Fatal(err)
		}
		errs := make([]error, len(d.names))
		var all sync.WaitGroup
		for i, name := range d.names {
			r := newJoiner(t, name).request(made.Token)
			all.Go(func() { _, errs[i] = c.Join(context.Background(), r) })
		}
		all.Wait()
		joined := 0
		for _, err := range errs {
			if err == nil {
				joined++
			} else if !strings.Contains(err.Error(), d.says) {
				t.Error(err)
			}
		}
		if joined != 1 {
			t.Errorf("%d machines joined at once: %v", joined, errs)
		}
	}
}

// A node that shows the same token again, because the answer was lost on the way, is told so.
func TestANodeJoinsTwice(t *testing.T) {
	c := newControl(t)
	made, err := c.CreateJoinToken(t.Context(), admin, api.JoinTokenRequest{Uses: 2})
	if err != nil {
		t.Fatal(err)
	}
	r := newJoiner(t, "osaka-1").request(made.Token)
	if _, err := c.Join(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	_, err = c.Join(t.Context(), r)
	refusedWith(t, err, http.StatusConflict, "there is a node osaka-1 already", "wherry node remove osaka-1")
	bad := newJoiner(t, "osaka-2").request(made.Token)
	bad.Secret = "guessed"
	_, err = c.Join(t.Context(), bad)
	refusedWith(t, err, http.StatusForbidden, "isn't known")
}

func TestLargeConfigurations(t *testing.T) {
	c := newControl(t)
	large := site("large", "")
	var rules strings.Builder
	rules.WriteString("rules:\n")
	for i := 0; rules.Len() < documentMax-4000; i++ {
		fmt.Fprintf(&rules, "  - {name: r%d, match: {paths: [/%s/%d]}, refuse: 403}\n", i, strings.Repeat("x", 3000), i)
	}
	large.YAML += rules.String()
	began := time.Now()
	_, err := c.Apply(t.Context(), admin, api.ApplyRequest{Documents: []api.Document{large}, Emergency: true})
	t.Logf("%d bytes in %s: %v", len(large.YAML), time.Since(began), err)
	if err != nil {
		t.Error(err)
	}
	large.YAML += strings.Repeat("#", documentMax-len(large.YAML)+1)
	_, err = c.Apply(t.Context(), admin, api.ApplyRequest{Documents: []api.Document{large}, Emergency: true})
	refusedWith(t, err, http.StatusRequestEntityTooLarge, "split it")
	many := make([]api.Document, documentsMax+1)
	for i := range many {
		many[i] = site(fmt.Sprint("s", i), "")
	}
	_, err = c.Apply(t.Context(), admin, api.ApplyRequest{Documents: many, Emergency: true})
	refusedWith(t, err, http.StatusBadRequest, "at once")
}

// A network of 100,000 sites takes one more, and finds which of them has the host already.
func TestAHundredThousandSites(t *testing.T) {
	if testing.Short() {
		t.Skip("a hundred thousand sites take seconds")
	}
	c := newControl(t)
	state := c.keeperState()
	one, problems := config.ParseSite("one", []byte(site("one", "").YAML))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	for i := range 100_000 {
		d := site(fmt.Sprint("site-", i), "")
		h := feed.HashOf([]byte(d.YAML))
		parsed := *one
		parsed.Name, parsed.Hosts = config.SiteName(d.Name), []config.HostPattern{config.HostPattern(d.Name + ".test")}
		c.sites.put(h, &parsed) // as after the first apply of this process, which reads all of them
		state.Docs[docKey(d.Name)] = feed.Doc{Ref: feed.Ref{Revision: 1, Object: h, Size: int64(len(d.YAML))}}
	}
	state.Position.Seq++
	checkpoint, err := c.o.Signer.Checkpoint(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.o.Keeper.Reset(checkpoint); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	r, err := c.Apply(t.Context(), admin, api.ApplyRequest{Documents: []api.Document{site("one-more", "")}, DryRun: true})
	t.Logf("the checkpoint has %d bytes; checked in %s: %v", len(checkpoint.Bytes), time.Since(began), err)
	if err != nil || len(r.Documents) != 1 || !r.Documents[0].Changed {
		t.Errorf("%+v, %v", r, err)
	}
	claims := site("claims", "")
	claims.YAML = strings.Replace(claims.YAML, "claims.test", "site-77777.test", 1)
	_, err = c.Apply(t.Context(), admin, api.ApplyRequest{Documents: []api.Document{claims}, DryRun: true})
	refusedWith(t, err, http.StatusUnprocessableEntity, "site-77777.test", "already claimed")
}

func (c *Control) keeperState() (state *feed.State) {
	c.o.Keeper.View(func(s *feed.State) { state = s.Clone() })
	return state
}
